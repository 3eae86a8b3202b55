"""Match the nuclei of two runs by their masks, frame by frame, and find the differences of each pair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from cacapp.arrays import rle
from cacapp.arrays.overlap import intersections
from cacapp.steps.capsule.recorded_runs import RecordedRuns
from cacapp.types import Instance

SAME_NUCLEUS_IOU = 0.5
"""Lowest IoU of two masks of one nucleus: at most one other mask can reach it where masks do not overlap."""


@dataclass(frozen=True, slots=True)
class Nucleus:
    """A stored nucleus with its counts and its call.

    Attributes:
        label: number in its frame.
        bbox_xywh, mask: px, COCO RLE of the crop.
        verdict: reason of a filter or the frame's edge for excluding it; None: evaluable.
        dots: the stored values of its dots, in order.
        rivals: its ambiguous signals: (channel, number) to the label of the other nucleus, None for a region that was not segmented;
            None where the run did not record them.
        counts: copies by probe channel.
        call: class, subtype, whether it is a CAC, evaluable and why not, reason for review, margin, whether it is a duplicate; empty
            without a count run.
    """

    label: int
    bbox_xywh: tuple[int, int, int, int]
    mask: bytes
    verdict: str | None
    dots: tuple[tuple[Any, ...], ...] = ()
    rivals: Mapping[tuple[str, int], int | None] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)

    def instance(self) -> Instance:
        """Decode the mask. Raises CacappError where it is damaged."""
        w, h = self.bbox_xywh[2:]
        return Instance(self.bbox_xywh, rle.decode(self.mask, h, w))


@dataclass(frozen=True, slots=True)
class NucleusDifference:
    """A nucleus that differs between two runs.

    Attributes:
        label_a, label_b: its label in each run; None where only the other run has it.
        iou: IoU of the two masks; 0 where one is missing.
        what: (in A, in B) by kind of difference, see ``KINDS``. ``mask`` has the areas in px.
    """

    frame: str
    label_a: int | None
    label_b: int | None
    iou: float
    what: Mapping[str, tuple[Any, Any]]


KINDS = ("only in A", "only in B", "mask", "verdict", "dots", "rivals", "count", "call")
"""``verdict``: of the filters on the mask. ``dots``: number, position, strength or use of dots, even where the count is the same.
``rivals``: which signals are ambiguous, and with which other nucleus."""


def nuclei_of(recorded: RecordedRuns) -> dict[str, list[Nucleus]]:
    """Return the nuclei of a run by frame, with the count run's results where there is one."""
    dots: dict[tuple[str, int], list[tuple[Any, ...]]] = defaultdict(list)
    counts: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
    calls: dict[tuple[str, int], dict[str, Any]] = {}
    rivals: dict[tuple[str, int], dict[tuple[str, int], int | None]] | None = None
    if recorded.count is not None:
        tables = recorded.count.tables
        for frame, label, *dot in _rows(tables["signals"]):
            dots[frame, label].append(tuple(dot))
        for frame, label, channel, n in _rows(tables["counts"]):
            counts[frame, label][channel] = n
        if "contested" in tables:
            rivals = defaultdict(dict)
            for frame, label, channel, number, other in _rows(tables["contested"]):
                rivals[frame, label][channel, number] = other
        names = tables["calls"].column_names[2:]
        for frame, label, *call in _rows(tables["calls"]):
            calls[frame, label] = dict(zip(names, call, strict=True)) | {"duplicate": False}
        for frame, label, *_ in _rows(tables["duplicates"]):
            calls.setdefault((frame, label), {})["duplicate"] = True
    found: dict[str, list[Nucleus]] = defaultdict(list)
    cells = recorded.segment.tables["cells"]
    wanted = ("frame", "label", "bbox_x_px", "bbox_y_px", "bbox_w_px", "bbox_h_px", "mask", "evaluable", "exclusion_reason")
    for frame, label, x, y, w, h, mask, evaluable, reason in _rows(cells.select(wanted)):
        key = (frame, label)
        verdict = None if evaluable else reason or "not evaluable"
        contested = None if rivals is None else rivals[key]
        one = Nucleus(label, (x, y, w, h), mask, verdict, tuple(dots[key]), contested, counts[key], calls.get(key, {}))
        found[frame].append(one)
    return dict(found)


def _rows(table: Any) -> Iterable[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def match_nuclei(a: Sequence[Nucleus], b: Sequence[Nucleus]) -> list[tuple[int | None, int | None, float]]:
    """Match nuclei one to one: (index in a, index in b, IoU), each nucleus once; None for the index of a missing partner.

    Equal masks at the same place match, whatever overlaps them. The others are matched so that the sum of IoU is largest; pairs below
    SAME_NUCLEUS_IOU are separated again.
    """
    places: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for j, one in reversed(list(enumerate(b))):
        places[*one.bbox_xywh, one.mask].append(j)
    pairs: list[tuple[int | None, int | None, float]] = []
    rest_a = []
    for i, one in enumerate(a):
        same = places[*one.bbox_xywh, one.mask]
        if same:
            pairs.append((i, same.pop(), 1.0))
        else:
            rest_a.append(i)
    rest_b = sorted(j for left in places.values() for j in left)
    iou = _iou([a[i].instance() for i in rest_a], [b[j].instance() for j in rest_b])
    rows, columns = linear_sum_assignment(-iou)
    close = [(r, c) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if iou[r, c] >= SAME_NUCLEUS_IOU]
    pairs += [(rest_a[r], rest_b[c], float(iou[r, c])) for r, c in close]
    taken_a, taken_b = {rest_a[r] for r, _ in close}, {rest_b[c] for _, c in close}
    pairs += [(i, None, 0.0) for i in rest_a if i not in taken_a]
    pairs += [(None, j, 0.0) for j in rest_b if j not in taken_b]
    return pairs


def _iou(a: Sequence[Instance], b: Sequence[Instance]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the (len(a), len(b)) IoU of every pair."""
    table = np.zeros((len(a), len(b)))
    area = [np.count_nonzero(one.mask) for one in (*a, *b)]
    for i, j, shared in intersections([*a, *b]):
        if i < len(a) <= j:
            table[i, j - len(a)] = shared / (area[i] + area[j] - shared)
    return table


def differences(frame: str, a: Sequence[Nucleus], b: Sequence[Nucleus]) -> list[NucleusDifference]:
    """Return the nuclei of one frame that differ, by label."""
    found = []
    pairs = match_nuclei(a, b)
    partners = {b[j].label: a[i].label for i, j, _ in pairs if i is not None and j is not None}
    for i, j, iou in pairs:
        one, other = None if i is None else a[i], None if j is None else b[j]
        what = _between(one, other, partners)
        if what:
            found.append(NucleusDifference(frame, one.label if one else None, other.label if other else None, iou, what))
    return sorted(found, key=lambda d: (d.label_a is None, d.label_a or 0, d.label_b or 0))


def _rivals(one: Nucleus, partners: Mapping[int, int] | None = None) -> dict[str, str | None] | None:
    """Return the other nucleus of each ambiguous signal, by A's label where it has a match in A."""
    if one.rivals is None:
        return None
    found: dict[str, str | None] = {}
    for (channel, number), label in one.rivals.items():
        here = label if partners is None or label is None else partners.get(label)
        found[f"{channel} {number}"] = None if label is None else f"nucleus {here}" if here is not None else f"nucleus {label} of B"
    return found


def _between(a: Nucleus | None, b: Nucleus | None, partners: Mapping[int, int]) -> dict[str, tuple[Any, Any]]:
    if a is None or b is None:
        there = a or b
        assert there is not None
        outcome = there.call.get("class") if there.call else there.verdict or "evaluable"
        return {"only in A": (outcome, None)} if a is not None else {"only in B": (None, outcome)}
    what: dict[str, tuple[Any, Any]] = {}
    if (a.bbox_xywh, a.mask) != (b.bbox_xywh, b.mask):
        what["mask"] = (_area(a), _area(b))
    if a.verdict != b.verdict:
        what["verdict"] = (a.verdict, b.verdict)
    if a.dots != b.dots:
        what["dots"] = (len(a.dots), len(b.dots))
    mine, theirs = _rivals(a), _rivals(b, partners)
    if mine is not None and theirs is not None and mine != theirs:
        other = [k for k in {**mine, **theirs} if k not in mine or k not in theirs or mine[k] != theirs[k]]
        what["rivals"] = ({k: mine[k] for k in other if k in mine}, {k: theirs[k] for k in other if k in theirs})
    if a.counts != b.counts:
        what["count"] = (dict(a.counts), dict(b.counts))
    if a.call != b.call:
        keys = [k for k in {**a.call, **b.call} if a.call.get(k) != b.call.get(k)]
        what["call"] = ({k: a.call.get(k) for k in keys}, {k: b.call.get(k) for k in keys})
    return what


def _area(one: Nucleus) -> int:
    return sum(rle.run_lengths(one.mask)[1::2])
