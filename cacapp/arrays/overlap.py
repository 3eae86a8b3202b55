"""Instances that overlap: find, resolve and divide them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from cacapp.types import Array, Instance


def intersections(instances: Sequence[Instance]) -> Iterator[tuple[int, int, int]]:
    """Yield (i, j, shared pixels) for every pair i < j that shares some."""
    boxes = np.array([i.bbox_xywh for i in instances], int).reshape(-1, 4)
    x0, y0 = boxes[:, 0], boxes[:, 1]
    x1, y1 = x0 + boxes[:, 2], y0 + boxes[:, 3]
    order = np.argsort(y0, kind="stable")
    last = np.searchsorted(y0[order], y1[order])
    for place, i in enumerate(order.tolist()):
        near = order[place + 1 : last[place]]
        near = near[(x0[near] < x1[i]) & (x1[near] > x0[i])]
        for j in near.tolist():
            shared = _shared(instances[i], instances[j])
            if shared:
                yield (i, j, shared) if i < j else (j, i, shared)


def resolve(instances: Sequence[Instance], same: float = 0.5, inside: float = 0.7) -> list[int]:
    """Return the indices of the instances to keep, in order: non-maximum suppression of masks that also detects inclusion.

    An instance with most of its pixels in two or more smaller ones covers several nuclei and is removed. Of two instances with IoU of
    at least ``same``, or of which one lies inside the other by at least ``inside`` of its area, the one with the higher score stays.

    Args:
        same: IoU from which two masks are one nucleus.
        inside: share of the smaller mask in the larger one from which both are one nucleus.
    """
    n = len(instances)
    area = np.array([np.count_nonzero(i.mask) for i in instances], float)
    score = np.array([i.score for i in instances], float)
    pairs = np.array(list(intersections(instances)), int).reshape(-1, 3)
    one, two, shared = pairs.T
    small, large = np.where(area[one] <= area[two], one, two), np.where(area[one] <= area[two], two, one)
    share = shared / np.maximum(area[small], 1)
    part = (share >= inside) & (area[small] < 0.8 * area[large])
    parts, covered = np.bincount(large[part], minlength=n), np.bincount(large[part], weights=shared[part], minlength=n)
    gone = (parts >= 2) & (covered >= 0.5 * area)
    iou = shared / (area[one] + area[two] - shared)
    rival = (iou >= same) | (share >= inside)
    rivals: dict[int, list[int]] = {}
    for a, b in zip(one[rival].tolist(), two[rival].tolist(), strict=True):
        rivals.setdefault(a, []).append(b)
        rivals.setdefault(b, []).append(a)
    for i in np.lexsort((np.arange(n), -score)).tolist():
        if not gone[i]:
            gone[[j for j in rivals.get(i, []) if not gone[j] and j != i]] = True
    return [int(i) for i in np.flatnonzero(~gone)]


def divide_overlaps(instances: Sequence[Instance], lifts: Sequence[Array]) -> list[Instance | None]:
    """Divide overlaps: a pixel of several instances goes to the one with the highest value there.

    Args:
        lifts: for each instance its (h, w) certainty in the mask's crop, comparable between instances (logits, say).

    Returns: an instance each, its largest piece where it falls apart; None where nothing is left of it.
    """
    masks = [i.mask.copy() for i in instances]
    for a, b, _ in intersections(instances):
        here, there = _windows(instances[a].bbox_xywh, instances[b].bbox_xywh)
        both = instances[a].mask[here] & instances[b].mask[there]
        first = lifts[a][here] >= lifts[b][there]
        masks[a][here] &= ~both | first
        masks[b][there] &= ~both | ~first
    return [one if np.array_equal(one.mask, mask) else _largest(one, mask) for one, mask in zip(instances, masks, strict=True)]


def _largest(one: Instance, mask: Array) -> Instance | None:
    """Return the instance with the largest piece of a smaller mask."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count < 2:
        return None
    label = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    x, y, w, h = (int(v) for v in stats[label, :4])
    return Instance((one.bbox_xywh[0] + x, one.bbox_xywh[1] + y, w, h), pieces[y : y + h, x : x + w] == label, one.score)


def _windows(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the overlap of two boxes xywh, in the crop of each."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    x0, y0, x1, y1 = max(ax, bx), max(ay, by), min(ax + aw, bx + bw), min(ay + ah, by + bh)
    return (slice(y0 - ay, y1 - ay), slice(x0 - ax, x1 - ax)), (slice(y0 - by, y1 - by), slice(x0 - bx, x1 - bx))


def _shared(a: Instance, b: Instance) -> int:
    (ax, ay, aw, ah), (bx, by, bw, bh) = a.bbox_xywh, b.bbox_xywh
    if max(ax, bx) >= min(ax + aw, bx + bw) or max(ay, by) >= min(ay + ah, by + bh):
        return 0
    here, there = _windows(a.bbox_xywh, b.bbox_xywh)
    return int(np.count_nonzero(a.mask[here] & b.mask[there]))
