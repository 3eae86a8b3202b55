"""Bleed-through: the light of a strong dot of one dye seen as a weak dot in a neighbouring dye's channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from cacapp.arrays.robust import robust_sd
from cacapp.fish.assay.model import Assay, BleedPair
from cacapp.types import Array, Signals

SPREADS = 3.0  # standard deviations above the predicted bleed that a signal of its own must reach
FLOOR_PERCENTILE = 5.0  # of the acceptor's amplitudes: what its detector just sees
INFORMATIVE = 2.0  # a donor counts for the estimate where max_share of it is this many times the floor


@dataclass(frozen=True, slots=True)
class Share:
    """What part of a donor's amplitude shows in the acceptor's channel.

    Attributes:
        typical: median over the frame's donor dots (or the assay's ``max_share`` where they are too few).
        highest: a dot up to this part of its donor may be bleed-through; never above ``max_share``.
        n_donors: bright donor dots behind the estimate, 0 where the assay's value is used.
    """

    typical: float
    highest: float
    n_donors: int


def estimate_share(donor: Signals, acceptor: Signals, pair: BleedPair, radius_px: float, min_donor_spots: int) -> Share:
    """The share of a (donor, acceptor) pair from a frame's own dots.

    Looked at are donors bright enough that ``max_share`` of them would be seen in the acceptor, without a strong acceptor dot of
    their own (above ``max_share``). A donor over which nothing is seen bleeds at most the detector's floor, and is entered with that.
    ``highest`` is the median plus three robust standard deviations of these ratios.

    Args:
        donor, acceptor: candidate dots of the two channels, donors already at the assay's minimum SNR.
        radius_px: same place, px.
        min_donor_spots: fewer: the assay's ``max_share`` is returned.
    """
    unknown = Share(pair.max_share, pair.max_share, 0)
    if not len(donor) or not len(acceptor):
        return unknown
    floor = float(np.percentile(acceptor.amplitude, FLOOR_PERCENTILE))
    bright = donor.take(donor.amplitude * pair.max_share >= INFORMATIVE * floor)
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
    return Share(typical, min(pair.max_share, typical + SPREADS * spread), len(ratio))


def bleed_through(candidates: Mapping[str, Signals], assay: Assay, diameter_px: float) -> dict[str, Array]:
    """For each channel (N,) bool: the dot is no brighter than the bleed-through predicted from the stronger dots under it.

    A dot is bleed-through where its amplitude, less three standard deviations of its own noise (amplitude / SNR), stays within
    ``Share.highest`` of its donors, and its amplitude within their ``max_share``. Donors of several dyes add up.

    Args:
        candidates: dots of every probe channel.
        diameter_px: of one signal.
    """
    rules = assay.signals.bleed_through
    radius_px = rules.radius_diameters * diameter_px
    predicted = {c: np.zeros(len(s)) for c, s in candidates.items()}
    bound = {c: np.zeros(len(s)) for c, s in candidates.items()}
    min_snr = {p.channel: p.min_snr for p in assay.probes}
    for pair in rules.pairs:
        donor = candidates[pair.donor]
        donor = donor.take(donor.snr >= min_snr[pair.donor])
        acceptor = candidates[pair.acceptor]
        if not len(donor) or not len(acceptor):
            continue
        share = estimate_share(donor, acceptor, pair, radius_px, rules.min_donor_spots)
        distance, index = cKDTree(donor.yx).query(acceptor.yx, distance_upper_bound=radius_px)
        under = np.isfinite(distance)
        predicted[pair.acceptor][under] += share.highest * donor.amplitude[index[under]]
        bound[pair.acceptor][under] += pair.max_share * donor.amplitude[index[under]]
    result = {}
    for channel, dots in candidates.items():
        noise = dots.amplitude / np.maximum(dots.snr, np.finfo(np.float32).tiny)
        within = dots.amplitude <= np.minimum(predicted[channel] + SPREADS * noise, bound[channel])
        result[channel] = within & (bound[channel] > 0)
    return result
