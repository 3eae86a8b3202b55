"""Regions of a plane: holes, basins, their fusion, and label images to instances."""

from __future__ import annotations

import cv2
import numpy as np

from cacapp.types import Array, Instance

_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


def fill_holes(mask: Array, largest_px: float = np.inf) -> Array:
    """Fill the holes of a (Y, X) bool mask: 4-connected background parts of at most ``largest_px`` away from the frame's edge."""
    padded = cv2.copyMakeBorder((~mask).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(padded, None, (0, 0), 2)
    filled: Array = padded[1:-1, 1:-1] != 2
    if np.isfinite(largest_px):
        _, holes, stats, _ = cv2.connectedComponentsWithStats((filled & ~mask).astype(np.uint8), connectivity=4)
        small = stats[:, cv2.CC_STAT_AREA] <= largest_px
        small[0] = False
        filled = mask | small[holes]
    return filled


def inscribed_diameter(mask: Array) -> float:
    """Return the typical diameter in px of the objects of a (Y, X) bool mask: area-weighted median of inscribed circles; 0 for none."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return 0.0
    radius = np.zeros(count, np.float32)
    inside = mask.nonzero()
    np.maximum.at(radius, labels[inside].astype(np.intp), cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)[inside])
    order = np.argsort(radius[1:])
    weight = np.cumsum(stats[1:, cv2.CC_STAT_AREA][order], dtype=float)
    return float(2 * radius[1:][order][np.searchsorted(weight, weight[-1] / 2)])


def basins(height: Array, mask: Array) -> tuple[Array, Array]:
    """Return the catchment areas of the maxima of ``height`` by steepest ascent: the watershed of -height without a flood.

    Every pixel of the mask walks to its steepest of eight neighbours until it stands on a maximum.

    Args:
        height: (Y, X) float32.
        mask: (Y, X) bool.

    Returns:
        labels: (Y, X) int32, 0 outside the mask, 1..N.
        peaks: (N + 1,) float32, the height of each basin's maximum (index 0 unused).
    """
    rows, cols = np.nonzero(mask)
    wide = mask.shape[1] + 2
    padded = np.full((mask.shape[0] + 2, wide), -np.inf, np.float32)
    padded[1:-1, 1:-1][mask] = height[mask]
    flat, here = padded.ravel(), (rows + 1) * wide + cols + 1
    own = flat[here]
    slope, target = np.zeros(len(here), np.float32), here.copy()
    for dy, dx in _NEIGHBOURS:
        there = here + dy * wide + dx
        rise = (flat[there] - own) / np.float32(np.hypot(dy, dx))
        steeper = rise > slope
        slope[steeper], target[steeper] = rise[steeper], there[steeper]
    number = np.empty(len(flat), np.int64)
    number[here] = np.arange(len(here))
    up = number[target]
    while not np.array_equal(nxt := up[up], up):
        up = nxt
    summit = np.flatnonzero(up == np.arange(len(up)))
    number[here[summit]] = np.arange(1, len(summit) + 1)
    labels = np.zeros(mask.shape, np.int32)
    labels[rows, cols] = number[here[up]]
    return labels, np.concatenate([np.zeros(1, np.float32), own[summit]])


def landscape(smooth: Array, mask: Array, diameter_px: float, smoothing: float, brightness_weight: float) -> Array:
    """Return the smoothed distance to the background, lowered where dimmer than around: (Y, X) float32, one maximum a nucleus.

    Args:
        smooth: (Y, X) float32, brightness. mask: (Y, X) bool.
        diameter_px: typical diameter of a nucleus.
        smoothing: standard deviation of the Gaussian on the distances, nuclear diameters.
        brightness_weight: 0 takes the distance alone, 1 multiplies it with the brightness relative to the brightest within a diameter.
    """
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    distance = cv2.GaussianBlur(distance, (0, 0), max(0.7, smoothing * diameter_px))
    if not brightness_weight:
        return distance
    bright = cv2.GaussianBlur(smooth, (0, 0), max(1.0, 0.1 * diameter_px))
    size = int(diameter_px) | 1
    share = bright / np.maximum(cv2.dilate(bright, np.ones((size, size), np.uint8)), 1)
    return np.asarray(distance * (1 - brightness_weight + brightness_weight * share))


def borders(labels: Array, height: Array) -> tuple[Array, Array]:
    """Return pairs of labels that touch, and the highest point of their border.

    Returns:
        pairs: (M, 2) int64, the smaller label first.
        saddles: (M,) float32, largest over the border of the lower of the two heights (4-connected).
    """
    found = []
    for one, two in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        a, b = labels[one], labels[two]
        touch = (a != b) & (a > 0) & (b > 0)
        found.append((a[touch], b[touch], np.minimum(height[one][touch], height[two][touch])))
    a, b, low = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if not len(a):
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    key = np.minimum(a, b).astype(np.int64) * (int(labels.max()) + 1) + np.maximum(a, b)
    keys, which = np.unique(key, return_inverse=True)
    saddles = np.full(len(keys), -np.inf, np.float32)
    np.maximum.at(saddles, which, low)
    return np.stack(np.divmod(keys, int(labels.max()) + 1), axis=1), saddles


def fuse(labels: Array, peaks: Array, height: Array, ratio: float) -> Array:
    """Fuse basins where the border is nearly as high as the lower of the two maxima.

    Args:
        labels, peaks: as ``basins`` gives them.
        height: (Y, X) float32, the landscape.
        ratio: saddle over lower maximum from which two basins are one.

    Returns: (Y, X) int32 labels, not consecutive.
    """
    pairs, saddles = borders(labels, height)
    parent, top = list(range(len(peaks))), peaks.astype(float).tolist()

    def root(x: int) -> int:
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    for i in np.argsort(-saddles, kind="stable"):
        one, two = root(int(pairs[i, 0])), root(int(pairs[i, 1]))
        if one != two and saddles[i] >= ratio * min(top[one], top[two]):
            parent[two] = one
            top[one] = max(top[one], top[two])
    return np.array([root(x) for x in range(len(peaks))], np.int32)[labels]


def instances_of(labels: Array, min_area_px: float = 1, zoom: int = 1, shape: tuple[int, int] | None = None) -> list[Instance]:
    """Return the instances of a label image, in the order of their labels.

    Args:
        labels: (Y, X) int32, 0 is background.
        min_area_px: smaller objects (in px of ``labels``) are left out.
        zoom: the full frame is this many times larger; masks are enlarged with smooth outlines.
        shape: (height, width) of the full frame in px; that of ``labels`` by default.
    """
    from scipy.ndimage import find_objects

    height, width = shape or labels.shape
    area = np.bincount(labels.ravel())
    result = []
    for label, box in enumerate(find_objects(labels), 1):
        if box is None or area[label] < min_area_px:
            continue
        mask = labels[box] == label
        top, left = box[0].start, box[1].start
        if zoom > 1:
            mask = _enlarged(mask, zoom)
            top, left = top * zoom, left * zoom
            mask = mask[: height - top, : width - left]
        if mask.any():
            result.append(Instance((left, top, mask.shape[1], mask.shape[0]), np.ascontiguousarray(mask)))
    return result


def _enlarged(mask: Array, zoom: int) -> Array:
    """Enlarge a bool crop ``zoom`` times, with a smooth outline."""
    padded = cv2.copyMakeBorder(mask.astype(np.float32), 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=0)
    large = cv2.resize(padded, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
    cut = 2 * zoom
    result: Array = large[cut:-cut, cut:-cut] > 0.5
    return result


def median_light(plane: Array, nucleus: Instance) -> float:
    """Return the median grey value of a nucleus, from every fourth pixel."""
    x, y, w, h = nucleus.bbox_xywh
    crop = plane[y : y + h, x : x + w]
    values = crop[::2, ::2][nucleus.mask[::2, ::2]]
    return float(np.median(values if len(values) else crop[nucleus.mask]))
