"""Instances that claim the same pixels: which of them stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cacapp.types import Array, Instance


def intersections(instances: Sequence[Instance]) -> Iterator[tuple[int, int, int]]:
    """(i, j, shared pixels) for every pair i < j that shares some."""
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
    """Indices of the instances that stay, in order, after each nucleus is claimed once (mask NMS that also sees inclusion).

    An instance most of whose pixels are shared out among two or more smaller ones took several nuclei: it goes. Of two instances with
    IoU of at least ``same``, or of which one lies inside the other by at least ``inside`` of its area, the one with the higher score stays.

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


def _shared(a: Instance, b: Instance) -> int:
    (ax, ay, aw, ah), (bx, by, bw, bh) = a.bbox_xywh, b.bbox_xywh
    x0, y0, x1, y1 = max(ax, bx), max(ay, by), min(ax + aw, bx + bw), min(ay + ah, by + bh)
    if x0 >= x1 or y0 >= y1:
        return 0
    first: Array = a.mask[y0 - ay : y1 - ay, x0 - ax : x1 - ax]
    return int(np.count_nonzero(first & b.mask[y0 - by : y1 - by, x0 - bx : x1 - bx]))
