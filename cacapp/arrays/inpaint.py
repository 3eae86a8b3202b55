"""Inpainting of rejected nuclei: low-frequency background of the surroundings plus noise copied from nearby."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from cacapp.arrays.robust import robust_sd
from cacapp.types import Array

STEP_PX = 8
"""The background is estimated on means over blocks of this side: it varies slowly, and a large frame takes a fraction of a second."""

WIDEST_REACH_PX = 40
LEAST_BACKGROUND = 0.03
"""Share of a frame that should be background; where it is less, the margin kept around nuclei shrinks."""

LEAST_SUPPORT = 0.05
"""A fit that rests on this share of background pixels counts as much as the next wider one."""

SMOOTHING_PX = 2.0
OUTLIER = 4.0
"""Standard deviations of the smoothed background; a larger excess is not background."""

HALO_SIGMAS = 0.5
"""The halo of a rejected nucleus: where the smoothed plane is this many standard deviations of the noise above the background."""

OUT_OF_FOCUS_SHARE = 0.1
"""Largest brightness of out-of-focus light, share of the typical brightness of nuclei."""

RIM_PX = 2
"""Smallest margin that is replaced around the mask of a rejected nucleus."""

DETAIL_PX = 4.0
"""Noise is the plane less its Gaussian mean of this standard deviation."""

PATCHES_PX = (16, 8, 4, 1)
MOST_PATCHES = 200_000
CHOICES = 64
"""Number of nearest patches from which the noise of a place is drawn."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Background of a frame.

    Attributes:
        usable: (Y, X) bool, true background: beyond the halo of nuclei, and no brighter than the noise explains.
        level: (Y, X) float32, low-frequency background, everywhere.
        excess: (Y, X) float32, the smoothed plane less the level.
        noise: standard deviation around it (1.4826 MAD), grey values.
    """

    usable: Array
    level: Array
    excess: Array
    noise: float


def inpaint_background(dapi: Array, rejected: Array, accepted: Array, seed: int) -> Array:
    """Replace rejected regions by background that looks like the real one.

    The halo of a rejected region is replaced too, as far as it is visible above the noise, but no further than half-way to an accepted
    nucleus; accepted pixels never change, also where masks overlap. The new level continues that of the pixels around, and far from
    them follows the background of the frame; the noise is copied patch by patch from the surroundings, so that its strength and texture
    are those of the place. Where a frame has no background at all nothing is replaced: see ``without_background``.

    Args:
        dapi: (Y, X) uint8 or uint16.
        rejected, accepted: (Y, X) bool, the union of the masks.
        seed: of the patches; the same seed gives the same pixels.

    Returns: (Y, X), dtype of ``dapi``; a copy.
    """
    result = dapi.copy()
    if not (rejected & ~accepted).any() or without_background(rejected, accepted).any():
        return result
    masks = rejected | accepted
    margin_px = _margin_px(masks)
    around = _surroundings(dapi, _distance(masks), margin_px)
    outlier = OUTLIER * around.noise + 1
    # light much dimmer than nuclei that reaches further than their halo is out of focus, and stays
    bright = around.excess > max(OUT_OF_FOCUS_SHARE * float(np.median(around.excess[masks])), outlier)
    distance = _distance(masks | bright)
    level = _continued(dapi, distance > margin_px / 2, around.level)
    excess = around.excess + around.level - level
    to_rejected = _distance(rejected)
    halo = (excess > max(HALO_SIGMAS * around.noise, 0.5)) | (to_rejected <= RIM_PX)
    area = halo & (to_rejected <= margin_px) & (to_rejected < _distance(accepted))
    area = (area | rejected) & ~accepted
    ground = (distance > RIM_PX) & ~area & (excess <= outlier)
    if not ground.any():
        ground = around.usable
    level = _continued(dapi, ground, level)
    noise = _copied_noise(_detail(dapi, ground), ground, area, np.random.default_rng(seed))
    limits = np.iinfo(dapi.dtype)
    result[area] = np.clip(np.rint(level[area] + noise), limits.min, limits.max).astype(dapi.dtype)
    return result


def without_background(rejected: Array, accepted: Array) -> Array:
    """Return the rejected pixels, (Y, X) bool, where the frame has no background pixel to replace them from; else none.

    Training must ignore these pixels: they are UNKNOWN in the labels.
    """
    if (rejected | accepted).all():
        return np.asarray(rejected & ~accepted)
    return np.zeros(rejected.shape, bool)


def _distance(mask: Array) -> Array:
    """Return the distance of each pixel to the mask, px, (Y, X) float32; infinite where the mask is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5))


def _margin_px(masks: Array) -> int:
    """Return the largest reach of a halo, px: half the diameter of a typical object."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(masks.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    return int(np.clip(0.5 * np.sqrt(4 / np.pi * np.median(areas)), 3, WIDEST_REACH_PX))


def _surroundings(dapi: Array, distance: Array, margin_px: int) -> Surroundings:
    """Estimate the background beyond ``margin_px`` of all masks, or nearer to them where too little is left.

    Bright objects without a mask (missed nuclei, debris) are brighter than the noise explains, and are left out.
    """
    for margin in sorted({margin_px, margin_px // 2, margin_px // 4, 2, 1, 0}, reverse=True):
        free = distance > margin
        if np.count_nonzero(free) >= max(LEAST_BACKGROUND * free.size, 64) or (margin == 0 and free.any()):
            break
    plane = dapi.astype(np.float32)
    smooth = cv2.GaussianBlur(plane, (0, 0), SMOOTHING_PX)
    reach_px = max(2.0 * margin_px, 3.0 * STEP_PX)
    usable = free
    for _ in range(4):
        level = _level(plane, usable, reach_px)
        excess = smooth - level
        middle, sd = _spread(excess[usable])
        kept = free & (np.abs(excess - middle) <= OUTLIER * max(sd, 0.25))
        if not kept.any() or np.array_equal(kept, usable):
            break
        usable = kept
    _, noise = _spread(plane[usable] - level[usable])
    return Surroundings(usable, level, excess, noise)


def _spread(values: Array) -> tuple[float, float]:
    """Return median and robust standard deviation of at most a million of the values."""
    values = values[:: max(1, len(values) // 1_000_000)]
    middle = float(np.median(values))
    return middle, robust_sd(values, middle)


def _level(plane: Array, usable: Array, reach_px: float) -> Array:
    """Return the low frequencies of the background, (Y, X) float32, by local linear fits in which nearer pixels weigh more.

    Fits over a Gaussian window of ``reach_px`` (standard deviation), over twice that, and so on to the whole frame; each is used as far
    as it rests on enough background, the wider one else.
    """
    height, width = plane.shape
    weight = _block_means(usable.astype(np.float32), STEP_PX)
    value = _block_means(np.where(usable, plane, 0), STEP_PX)
    large = cv2.resize(_fitted(value, weight, reach_px / STEP_PX).astype(np.float32), None, fx=STEP_PX, fy=STEP_PX)
    return np.ascontiguousarray(large[:height, :width])


def _fitted(total: Array, weight: Array, sigma: float) -> Array:
    """Fit the background of blocks with the sums ``total`` over ``weight`` background pixels, (rows, columns) float64."""
    rows, columns = weight.shape
    value = total / np.maximum(weight, 1e-9)
    wider: Array
    if max(rows, columns) <= 2 * sigma:
        wider = np.full(weight.shape, np.average(value, weights=weight))
    else:
        # twice the window on half the blocks costs the same per block
        coarse = _fitted(_block_means(total, 2), _block_means(weight, 2), sigma)
        wider = cv2.resize(coarse, None, fx=2, fy=2)[:rows, :columns]
    fit, support = _linear_fit(value, weight, sigma)
    fit = np.clip(fit, value[weight > 0].min(), value[weight > 0].max())
    return np.asarray((support * fit + LEAST_SUPPORT * wider) / (support + LEAST_SUPPORT))


def _continued(dapi: Array, ground: Array, level: Array) -> Array:
    """Shift ``level`` to the ``ground`` pixels near each place, (Y, X) float32: the border of a replaced region shows no step.

    The difference is averaged over blocks, and carried into the gaps by pyramids: each takes what it lacks from blocks twice as large
    (pull-push, Gortler et al. 1996).
    """
    height, width = dapi.shape
    weight = _block_means(ground.astype(np.float32), STEP_PX)
    total = _block_means(np.where(ground, dapi - level, np.float32(0)), STEP_PX)
    large = cv2.resize(_carried(total, weight).astype(np.float32), None, fx=STEP_PX, fy=STEP_PX)
    return np.asarray(level + large[:height, :width])


def _carried(total: Array, weight: Array) -> Array:
    """Divide sums ``total`` by ``weight`` pixels of blocks; blocks without weight take the mean of coarser ones."""
    if max(weight.shape) == 1:
        return total / np.maximum(weight, 1e-9)
    coarse = _carried(_block_means(total, 2), _block_means(weight, 2))
    wider = cv2.resize(coarse, None, fx=2, fy=2)[: weight.shape[0], : weight.shape[1]]
    return np.asarray((total + LEAST_SUPPORT * wider) / (weight + LEAST_SUPPORT))


def _detail(dapi: Array, ground: Array) -> Array:
    """Return noise and texture, (Y, X) float32: the plane less a local mean over the ``ground`` pixels."""
    known = ground.astype(np.float32)
    mean = cv2.GaussianBlur(dapi * known, (0, 0), DETAIL_PX) / np.maximum(cv2.GaussianBlur(known, (0, 0), DETAIL_PX), 1e-6)
    return np.asarray(dapi - mean)


def _block_means(plane: Array, side: int) -> Array:
    """Return means over blocks of side x side px, the rim padded with 0."""
    below, right = -plane.shape[0] % side, -plane.shape[1] % side
    padded = cv2.copyMakeBorder(plane, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0)
    size = (padded.shape[1] // side, padded.shape[0] // side)
    return np.asarray(cv2.resize(padded, size, interpolation=cv2.INTER_AREA), np.float64)


def _linear_fit(value: Array, weight: Array, sigma: float) -> tuple[Array, Array]:
    """Fit a plane to the values around each place, weighted with ``weight`` and a Gaussian; return it and the share of weight.

    The slope is held back where the values do not span it (a ridge of a tenth of the window's own variance).
    """

    def window(image: Array) -> Array:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT))

    y, x = np.mgrid[: value.shape[0], : value.shape[1]].astype(np.float64)
    support = window(weight)
    share = np.maximum(support, 1e-12)
    mean_y, mean_x, mean_v = (window(weight * a) / share for a in (y, x, value))
    yy, xx, xy = (window(weight * a) / share for a in (y * y, x * x, x * y))
    vy, vx = (window(weight * value * a) / share for a in (y, x))
    ridge = 0.1 * sigma**2
    yy, xx, xy = yy - mean_y**2 + ridge, xx - mean_x**2 + ridge, xy - mean_x * mean_y
    vy, vx = vy - mean_v * mean_y, vx - mean_v * mean_x
    determinant = np.maximum(yy * xx - xy**2, 1e-9)
    slope_y, slope_x = (vy * xx - vx * xy) / determinant, (vx * yy - vy * xy) / determinant
    return mean_v + slope_y * (y - mean_y) + slope_x * (x - mean_x), support


def _copied_noise(detail: Array, ground: Array, area: Array, rng: np.random.Generator) -> Array:
    """Return noise for the pixels of ``area``, in their order: nearby patches of the ground, turned at random.

    Patches are as large as the ground allows: whole ones keep the texture of correlated noise.
    """
    noise = np.full(area.shape, np.nan, np.float32)
    for side in PATCHES_PX:
        bare = area & np.isnan(noise)
        if not bare.any():
            break
        corners = _patch_corners(ground, side, rng)
        if len(corners) >= (1 if side == 1 else CHOICES):
            _paste_patches(noise, detail, bare, corners, side, rng)
    return noise[area]


def _patch_corners(ground: Array, side: int, rng: np.random.Generator) -> Array:
    """Return corners (N, 2), (y, x), of patches of ``side`` px that are all ground; at most MOST_PATCHES, at random."""
    if min(ground.shape) < side:
        return np.zeros((0, 2), np.int64)
    square = np.ones((side, side), np.uint8)
    whole = cv2.erode(ground.astype(np.uint8), square, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    corners = np.flatnonzero(whole)
    if len(corners) > MOST_PATCHES:
        corners = np.sort(rng.choice(corners, MOST_PATCHES, replace=False, shuffle=False))
    return np.stack(np.divmod(corners, ground.shape[1]), axis=1)


def _paste_patches(noise: Array, detail: Array, bare: Array, corners: Array, side: int, rng: np.random.Generator) -> None:
    """Cover ``bare`` with patches on a grid, in place."""
    rows, columns = np.nonzero(bare)
    across = -(-bare.shape[1] // side)
    places = np.stack(np.divmod(np.unique(rows // side * across + columns // side), across), axis=1) * side
    nearest = cKDTree(corners).query(places, k=min(CHOICES, len(corners)))[1].reshape(len(places), -1)
    picked = corners[nearest[np.arange(len(places)), rng.integers(0, nearest.shape[1], len(places))]]
    turns = rng.integers(0, 8, len(places)).tolist()
    for (top, left), (y, x), turn in zip(places.tolist(), picked.tolist(), turns, strict=True):
        wanted = bare[top : top + side, left : left + side]
        patch = np.rot90(detail[y : y + side, x : x + side], turn % 4)
        patch = (patch.T if turn >= 4 else patch)[: wanted.shape[0], : wanted.shape[1]]
        noise[top : top + side, left : left + side][wanted] = patch[wanted]
