"""Treated pictures of a sample slide: its counts stay exact, and no cell becomes a CAC by what the treatment left."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from cacapp.algorithms.log import LogDetector
from cacapp.arrays.focus import focus_of
from cacapp.arrays.shapes import shapes_of
from cacapp.fish.assay.read import load_assay
from cacapp.fish.count_frame import CountedFrame, CountTask, count_frame
from cacapp.fish.quality.slide import judge_channels
from cacapp.types import Array, FrameSource, Instance

SLIDE = Path(__file__).parents[2] / "sample_slides" / "S02"
PIXEL_UM = 0.12
KATZ = load_assay("katz-4color")
NAMES = ("DAPI", *KATZ.channels)


@pytest.fixture(scope="module")
def planes() -> Array:
    return np.asarray(tifffile.imread(SLIDE / "frame00.ome.tif"))


@pytest.fixture(scope="module")
def labels() -> Array:
    return np.asarray(tifffile.imread(SLIDE / "frame00_labels.tif"))


@pytest.fixture(scope="module")
def truth() -> dict[int, list[int]]:
    with (SLIDE / "truth.csv").open() as rows:
        return {int(r["label"]): [int(r[c]) for c in KATZ.channels] for r in csv.DictReader(rows) if r["frame"] == "frame00"}


def count(planes: Array, labels: Array) -> CountedFrame:
    boxes = [(k, box) for k, box in enumerate(ndimage.find_objects(labels), 1) if box is not None]
    nuclei = tuple(Instance((x.start, y.start, x.stop - x.start, y.stop - y.start), labels[y, x] == k) for k, (y, x) in boxes)
    shapes = shapes_of(nuclei, *labels.shape, PIXEL_UM)
    source = FrameSource("frame00", "frame00.tif", "", "", "none", *labels.shape, "uint16", PIXEL_UM, (), None, None)
    ids = tuple(k for k, _ in boxes)
    task = CountTask(source, ids, nuclei, shapes, focus_of(planes[0], nuclei), (None,) * len(ids))
    return count_frame(LogDetector().detect, KATZ, dict(zip(NAMES, planes, strict=True)), PIXEL_UM, task)


def exact(counted: CountedFrame, truth: dict[int, list[int]]) -> float:
    """Return the share of the called cells whose counts are the true ones; no cell may be a false CAC."""
    called = [(call, counts, truth[k]) for k, call, counts in zip(counted.cell_ids, counted.calls, counted.counts.tolist(), strict=True)
              if call.evaluable and call.class_ != "uncertain"]  # fmt: skip
    assert not [t for call, _, t in called if call.is_cac and sum(n >= 3 for n in t) < 2]
    return float(np.mean([counts == t for _, counts, t in called]))


@pytest.mark.parametrize("percentile", [50, 90])
def test_probes_clipped_at_zero_count_right(planes: Array, labels: Array, truth: dict[int, list[int]], percentile: int) -> None:
    clipped = planes.copy()
    for plane in clipped[1:]:
        plane[:] = np.maximum(plane.astype(int) - int(np.percentile(plane[labels > 0], percentile)), 0)
    counted = count(clipped, labels)
    assert exact(counted, truth) >= 0.95
    assert sum(c.is_cac for c in counted.calls) == 4


def test_coarse_steps_of_grey_count_right(planes: Array, labels: Array, truth: dict[int, list[int]]) -> None:
    counted = count(planes >> 4 << 4, labels)
    assert exact(counted, truth) >= 0.95


def test_spikes_are_no_signals(planes: Array, labels: Array, truth: dict[int, list[int]]) -> None:
    hit, rng = planes.astype(np.uint32), np.random.default_rng(0)
    n = 40  # in a plane of 0.43 million pixels: 90 in a million
    for plane in hit[1:]:
        y, x = rng.integers(1, labels.shape[0] - 1, n), rng.integers(1, labels.shape[1] - 1, n)
        height = np.exp(rng.uniform(np.log(200), np.log(30_000), n)).astype(np.uint32)
        plane[y, x] += height
        plane[y[: n // 2], x[: n // 2] + 1] += height[: n // 2]
    counted = count(np.minimum(hit, 65535).astype(np.uint16), labels)
    assert exact(counted, truth) == 1
    assert sum(c.is_cac for c in counted.calls) == 4


def treated(planes: Array, what: str) -> Array:
    wide = planes.astype(np.int64)
    level = np.median(wide[1:], axis=(1, 2), keepdims=True)
    if what == "cut off":
        wide[1:] = np.minimum(level + 20 * (wide[1:] - level), level + 2371)
    elif what == "inverted":
        wide[1:] = 4095 - wide[1:]
    elif what == "wrapped":
        wide[1:] -= level.astype(np.int64)
    elif what == "thresholded":
        wide[1:] = np.where(wide[1:] < 45, 0, wide[1:])
    return (wide if what == "wrapped" else np.maximum(wide, 0)).astype(np.uint16)


@pytest.mark.parametrize(
    ("what", "measure"), [("cut off", "full"), ("inverted", "inverted"), ("wrapped", "wrapped"), ("thresholded", "gap")]
)
def test_a_channel_in_such_a_state_calls_no_cell_and_says_why(planes: Array, labels: Array, what: str, measure: str) -> None:
    counted = count(treated(planes, what), labels)
    assert not any(c.evaluable for c in counted.calls)
    failed = {m.measure for m in judge_channels(counted.quality.channels, KATZ.quality) if m.verdict == "fail" and m.channel != "DAPI"}
    assert measure in failed
