"""Zones where touching nuclei may lie over each other: there their light adds up, and a concave outline continues under its neighbour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import cv2
import numpy as np

from cacapp.arrays.regions import median_light
from cacapp.arrays.robust import robust_sd
from cacapp.types import UNSEGMENTED, Array, Instance, OverlapZone

GAP_PX = 6  # masks at most this far apart touch; this and the other lengths in px are for about 0.1 µm a pixel
BLUR_PX = 1.5  # standard deviation; the texture of chromatin is not to look like a lens
ADDED = 0.5  # of the neighbour's light in addition to the nucleus' own: a brighter pixel shows both
TEXTURE = 0.5  # standard deviations of the nucleus' own light that the added light must exceed; less is texture
MARGIN_PX = 2  # error of an outline
RIM_PX = 6  # signals up to this far off the mask may count; they are in a zone if the nearest part of the mask is
THIN_RADII = 0.3  # of the nucleus' radius: a part too thin for a disk of this radius is an appendage
MIN_APPENDAGE = 0.015  # of the area; a smaller part is the corner of an outline


def find_overlap_zones(dapi: Array, nuclei: Sequence[Instance], background: float, others: Sequence[Instance] = ()) -> list[OverlapZone]:
    """Return the zones of each nucleus in which a signal may belong to a touching neighbour; empty ones are left out.

    A zone towards a neighbour is the part bright enough to show both nuclei (own light + ``ADDED`` of the neighbour's, connected to the
    contact), and the part that the convex hull of the neighbour's mask covers. Segmentation cuts overlapping nuclei along one side of
    their overlap; that says nothing about which of them a signal there belongs to. A thin appendage of a mask is a zone towards
    ``UNSEGMENTED``: most often it belongs to a neighbour.

    Args:
        dapi: (Y, X) of any numeric dtype.
        background: grey value without a nucleus.
        others: objects that are no nuclei of the frame and may lie over them (``cacapp.fish.doubt.unsegmented``).
    """
    everything = [*nuclei, *others]
    light = [median_light(dapi, n) - background for n in everything]
    zones = [OverlapZone(i, UNSEGMENTED, thin) for i, n in enumerate(nuclei) if (thin := _grown(_appendages(n), n)) is not None]
    for one, two in _touching(everything):
        for own, other in ((one, two), (two, one)):
            if own < len(nuclei):
                zone = _zone(dapi, everything[own], everything[other], light[own], light[other], background)
                if zone is not None and (grown := _grown(zone, everything[own])) is not None:
                    zones.append(OverlapZone(own, other if other < len(nuclei) else UNSEGMENTED, grown))
    return zones


def _touching(objects: Sequence[Instance]) -> Iterator[tuple[int, int]]:
    """Yield the pairs i < j whose boxes are at most ``GAP_PX`` apart."""
    box = np.array([o.bbox_xywh for o in objects], np.int64).reshape(-1, 4)
    left, top, right, bottom = box[:, 0], box[:, 1], box[:, 0] + box[:, 2], box[:, 1] + box[:, 3]
    for i in range(len(box)):
        near = (left[i + 1 :] <= right[i] + GAP_PX) & (left[i] <= right[i + 1 :] + GAP_PX)
        near &= (top[i + 1 :] <= bottom[i] + GAP_PX) & (top[i] <= bottom[i + 1 :] + GAP_PX)
        for j in np.flatnonzero(near).tolist():
            yield i, i + 1 + j


def _zone(dapi: Array, own: Instance, other: Instance, light: float, others_light: float, background: float) -> Array | None:
    x, y, w, h = own.bbox_xywh
    window = _within(other.mask.astype(np.uint8), other.bbox_xywh, own.bbox_xywh, GAP_PX)
    reach = cv2.dilate(window, _ellipse(GAP_PX))
    contact = (reach[GAP_PX : GAP_PX + h, GAP_PX : GAP_PX + w] > 0) & own.mask
    if not contact.any():
        return None
    zone = _hull(other, own.bbox_xywh)
    grey = cv2.GaussianBlur(dapi[y : y + h, x : x + w].astype(np.float32), (0, 0), BLUR_PX) - background
    inside = grey[own.mask]
    if ADDED * others_light > TEXTURE * robust_sd(inside):
        bright = own.mask & (grey > light + ADDED * others_light)
        n, parts = cv2.connectedComponents((bright | contact).astype(np.uint8), connectivity=4)
        reached = np.zeros(n, bool)
        reached[parts[contact]] = True
        zone |= bright & reached[parts]
    return zone & own.mask


def _grown(zone: Array, nucleus: Instance) -> Instance | None:
    """Return a zone of a mask with the margin of its outline and the rim beside it, off the mask; None for an empty zone."""
    if not zone.any():
        return None
    x, y, w, h = nucleus.bbox_xywh
    pad = (RIM_PX, RIM_PX, RIM_PX, RIM_PX, cv2.BORDER_CONSTANT)
    wide, mask = cv2.copyMakeBorder(zone.astype(np.uint8), *pad, value=0), cv2.copyMakeBorder(nucleus.mask.astype(np.uint8), *pad, value=0)
    grown = np.where(mask > 0, cv2.dilate(wide, _ellipse(MARGIN_PX)), cv2.dilate(wide, _ellipse(RIM_PX))) > 0
    return Instance((x - RIM_PX, y - RIM_PX, w + 2 * RIM_PX, h + 2 * RIM_PX), grown)


def _appendages(nucleus: Instance) -> Array:
    """Return (h, w) bool: the thin parts of a mask."""
    half = nucleus.mask[::2, ::2].astype(np.uint8)  # half the size is enough: an appendage is larger than a pixel
    area, (height, width) = np.count_nonzero(half), nucleus.mask.shape
    small = Instance((0, 0, half.shape[1], half.shape[0]), half)
    if not area or area > (1 - MIN_APPENDAGE) * np.count_nonzero(_hull(small, small.bbox_xywh)):
        return np.zeros((height, width), bool)  # nearly convex: no appendage
    r = round(THIN_RADII * np.sqrt(area / np.pi))
    padded = cv2.copyMakeBorder(half, r, r, r, r, cv2.BORDER_CONSTANT, value=0)
    rest = padded - cv2.morphologyEx(padded, cv2.MORPH_OPEN, _ellipse(r))
    n, parts, stats, _ = cv2.connectedComponentsWithStats(rest, connectivity=4)
    large = np.zeros(n, bool)
    large[1:] = stats[1:, cv2.CC_STAT_AREA] >= MIN_APPENDAGE * area
    thin = large[parts[r : r + half.shape[0], r : r + half.shape[1]]].repeat(2, axis=0).repeat(2, axis=1)
    return np.asarray(thin[:height, :width] & nucleus.mask)


@cache
def _ellipse(radius: int) -> Array:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _hull(nucleus: Instance, box: tuple[int, int, int, int]) -> Array:
    """Return (h, w) bool: the convex hull of a nucleus within a box of the frame."""
    x, y, w, h = box
    contours, _ = cv2.findContours(nucleus.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.convexHull(np.concatenate(contours)) + np.array([nucleus.bbox_xywh[0] - x, nucleus.bbox_xywh[1] - y])
    result = np.zeros((h, w), np.uint8)
    cv2.fillConvexPoly(result, hull.astype(np.int32), 1)
    return np.asarray(result > 0)


def _within(mask: Array, box: tuple[int, int, int, int], window: tuple[int, int, int, int], margin: int) -> Array:
    """Return the part of a mask at ``box`` that lies in ``window`` with a margin around it: (h + 2 margin, w + 2 margin)."""
    x, y, w, h = window[0] - margin, window[1] - margin, window[2] + 2 * margin, window[3] + 2 * margin
    result = np.zeros((h, w), mask.dtype)
    left, top = max(x, box[0]), max(y, box[1])
    right, bottom = min(x + w, box[0] + box[2]), min(y + h, box[1] + box[3])
    if right > left and bottom > top:
        result[top - y : bottom - y, left - x : right - x] = mask[top - box[1] : bottom - box[1], left - box[0] : right - box[0]]
    return result
