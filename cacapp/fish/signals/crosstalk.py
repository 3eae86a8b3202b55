"""Cross-talk between dyes: how much of one channel's light shows in another, estimated from the frame, and its removal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from cacapp.arrays.mosaic import Mosaic, pack
from cacapp.arrays.robust import MAD_TO_SD, robust_sd
from cacapp.fish.assay.model import BleedPair
from cacapp.types import Array, Instance, Signals

MAX_NUCLEI = 200  # looked at for the estimate
PATCH_SIGMAS = 2.5
PEAK_NOISE = 10.0  # a donor dot is at least this many standard deviations of its nucleus' texture high
THIN = 8  # every eighth of the nuclei's pixels gives the texture
SIGNIFICANT = 3.0  # standard errors a share must differ from none
BLEED_SDS = 3.0  # standard deviations above the predicted bleed that a signal of its own must reach
BLEED_FLOOR_PERCENTILE = 5.0  # of the acceptor's amplitudes: what its detector just sees
INFORMATIVE_FLOORS = 2.0  # a donor counts for the estimate where max_share of it is this many times the floor


@dataclass(frozen=True, slots=True)
class Crosstalk:
    """The share of a donor's light that shows in the acceptor's channel.

    Attributes:
        donor, acceptor: channel names.
        share: of the donor's height above its background, 0 where none can be told from noise.
        error: its standard error.
        n_dots: dots that the estimate rests on, 0 where they were too few and the share is set to 0.
    """

    donor: str
    acceptor: str
    share: float
    error: float
    n_dots: int


def estimate_crosstalk(
    planes: Mapping[str, Array], nuclei: Sequence[Instance], pairs: Sequence[tuple[str, str, float]], sigma_px: float, min_dots: int
) -> list[Crosstalk]:
    """Estimate the cross-talk of each pair of channels, from the acceptor's light under the donor's brightest dots.

    Under each dot the acceptor's pixels are regressed on the donor's, both less a plane fitted to the patch; the share is the median of
    the slopes over the half of the patches that such a line explains best: in the others the acceptor has dots of its own.

    Args:
        planes: (Y, X) uint8 or uint16 by channel.
        nuclei: of the frame; dots are looked for inside them.
        pairs: (donor, acceptor, largest share that is accepted).
        sigma_px: standard deviation of a dot, px.
        min_dots: with fewer, nothing is estimated.
    """
    some = nuclei[:: max(1, -(-len(nuclei) // MAX_NUCLEI))]
    radius = max(3, round(PATCH_SIGMAS * sigma_px))
    donors = list(dict.fromkeys(p[0] for p in pairs))
    crops = pack(planes[donors[0]], some, margin_px=radius) if donors and some else None
    bright = {d: _bright_dots(planes[d], crops, sigma_px, radius) for d in donors}
    return [_share(planes, pair, bright[pair[0]], radius, min_dots) for pair in pairs]


def unmix(planes: Mapping[str, Array], crosstalk: Sequence[Crosstalk]) -> dict[str, Array]:
    """Return the planes without the other dyes' light: measured = M true, with M = 1 + shares, is solved for true.

    A constant is left as it is: what is taken from a pixel is the donor's height above its darkest percent. Planes that get nothing from
    others are returned as they are; dtypes are kept, and values clipped to them.
    """
    names = list(planes)
    mixing = np.eye(len(names))
    for one in crosstalk:
        mixing[names.index(one.acceptor), names.index(one.donor)] = one.share
    inverse = np.linalg.inv(mixing)
    result = dict(planes)
    for a, acceptor in enumerate(names):
        clean = planes[acceptor]
        for d, donor in enumerate(names):
            # second-order terms are far below the noise of any dot
            if d != a and any(c.donor == donor and c.acceptor == acceptor and c.share > 0 for c in crosstalk):
                weight = inverse[a, d]
                clean = cv2.addWeighted(clean, 1.0, planes[donor], weight, -weight * _dark(planes[donor]))
        result[acceptor] = clean
    return result


def _dark(plane: Array) -> float:
    return float(np.percentile(plane[::16, ::16], 1))


def _bright_dots(plane: Array, crops: Mosaic | None, sigma_px: float, radius: int) -> Array:
    """Return (N, 2) int, (y, x): the brighter half of the clear, unsaturated dots inside nuclei whose patch lies in the frame."""
    if crops is None:
        return np.zeros((0, 2), int)
    mosaic = crops.of(plane)
    band = np.empty_like(mosaic.canvas)
    for shelf in mosaic.shelves:
        canvas = mosaic.canvas[shelf]
        band[shelf] = cv2.GaussianBlur(canvas, (0, 0), sigma_px * 0.7) - cv2.GaussianBlur(canvas, (0, 0), sigma_px * 2)
    values = band[mosaic.inside][::THIN]
    noise = robust_sd(values)
    peak = (band == cv2.dilate(band, np.ones((5, 5), np.uint8))) & mosaic.inside & (band > max(PEAK_NOISE * noise, 1e-6))
    rows, cols = np.divmod(np.flatnonzero(peak), band.shape[1])
    height = band[rows, cols]
    yx = np.stack([rows, cols], axis=1) + mosaic.shift_yx[mosaic.owner[rows, cols] - 1]
    yx = yx[height >= np.median(height)] if len(height) else yx
    fits = ((yx >= radius) & (yx < np.array(plane.shape) - radius)).all(axis=1)
    yx = np.unique(yx[fits], axis=0)
    full = np.iinfo(plane.dtype).max
    return np.asarray(yx[plane[yx[:, 0], yx[:, 1]] < full])


def _share(planes: Mapping[str, Array], pair: tuple[str, str, float], yx: Array, radius: int, min_dots: int) -> Crosstalk:
    donor, acceptor, highest = pair
    if len(yx) < min_dots:
        return Crosstalk(donor, acceptor, 0.0, float("nan"), 0)
    given, got = (_flat_patches(planes[c], yx, radius) for c in (donor, acceptor))
    power = np.einsum("ij,ij->i", given, given)
    slope = np.einsum("ij,ij->i", given, got) / np.maximum(power, 1e-9)
    misfit = np.sqrt(np.mean((got - slope[:, None] * given) ** 2, axis=1))
    fair = (misfit <= np.median(misfit)) & (slope <= 2 * highest)
    if np.count_nonzero(fair) < min_dots / 3:
        return Crosstalk(donor, acceptor, 0.0, float("nan"), 0)
    slopes = slope[fair]
    share = float(np.median(slopes))
    # standard error of a median: 1.2533 that of a mean
    error = 1.2533 * MAD_TO_SD * float(np.median(np.abs(slopes - share))) / np.sqrt(len(slopes))
    share = 0.0 if share < SIGNIFICANT * error else min(share, highest)
    return Crosstalk(donor, acceptor, share, error, len(slopes))


def _flat_patches(plane: Array, yx: Array, radius: int) -> Array:
    """Return (N, (2 radius + 1)²) float64, the patch around each position less the plane that fits it best."""
    oy, ox = (o.ravel() for o in np.mgrid[-radius : radius + 1, -radius : radius + 1])
    patches = plane[yx[:, :1] + oy, yx[:, 1:] + ox].astype(np.float64)
    basis = np.linalg.qr(np.stack([np.ones(len(oy)), oy, ox], axis=1).astype(float))[0]
    result: Array = patches - (patches @ basis) @ basis.T
    return result


@dataclass(frozen=True, slots=True)
class BleedShare:
    """The part of a donor's amplitude that shows in the acceptor's channel.

    Attributes:
        typical: median over the frame's donor dots (or the assay's ``max_share`` where they are too few).
        highest: a dot up to this part of its donor may be bleed-through; never above ``max_share``.
        n_donors: bright donor dots that the estimate rests on, 0 where the assay's value is used.
    """

    typical: float
    highest: float
    n_donors: int


def estimate_share(donor: Signals, acceptor: Signals, pair: BleedPair, radius_px: float, min_donor_spots: int) -> BleedShare:
    """Estimate the share of a (donor, acceptor) pair from a frame's own dots.

    Used are donors bright enough that ``max_share`` of them would be seen in the acceptor, without a strong acceptor dot of
    their own (above ``max_share``). A donor over which nothing is seen bleeds at most the detector's floor, and is entered with that.
    ``highest`` is the median plus three robust standard deviations of these ratios.

    Args:
        donor, acceptor: candidate dots of the two channels, donors already at the assay's minimum SNR.
        radius_px: same place, px.
        min_donor_spots: fewer: the assay's ``max_share`` is returned.
    """
    unknown = BleedShare(pair.max_share, pair.max_share, 0)
    if not len(donor) or not len(acceptor):
        return unknown
    floor = float(np.percentile(acceptor.amplitude, BLEED_FLOOR_PERCENTILE))
    bright = donor.take(donor.amplitude * pair.max_share >= INFORMATIVE_FLOORS * floor)
    if len(bright) < min_donor_spots:
        return unknown
    over, index = cKDTree(acceptor.yx).query(bright.yx, distance_upper_bound=radius_px)
    seen = np.isfinite(over)
    level = np.full(len(bright), floor, np.float64)
    level[seen] = acceptor.amplitude[index[seen]]
    ratio = level / bright.amplitude
    ratio = ratio[ratio <= pair.max_share]
    if len(ratio) < min_donor_spots:
        return unknown
    typical = float(np.median(ratio))
    spread = robust_sd(ratio, typical)
    return BleedShare(typical, min(pair.max_share, typical + BLEED_SDS * spread), len(ratio))
