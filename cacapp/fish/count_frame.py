"""One frame's signals, counts and calls: pixels and nuclei in, what the step ``count`` stores out; no database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import permutations

import cv2
import numpy as np

from cacapp.arrays.background import levels
from cacapp.arrays.camera import Camera, camera_of
from cacapp.arrays.chromatic import Shift, aligned, estimate_shift, measure_shift, soft_outlines
from cacapp.fish.assay.model import Assay
from cacapp.fish.calls import Call, call_cells, is_cac
from cacapp.fish.doubt.overlap_zones import find_overlap_zones
from cacapp.fish.doubt.two_in_one import may_be_part, may_be_two, seam_threshold, without_concavity_or_seam
from cacapp.fish.doubt.unsegmented import find_unsegmented
from cacapp.fish.evaluability import AGGREGATE, OF_CHANNELS, judge_nuclei
from cacapp.fish.quality.frame import FrameQuality, failures, measure_frame, with_signals
from cacapp.fish.quality.slide import FAILED_QC
from cacapp.fish.signals.crosstalk import Crosstalk, estimate_crosstalk, unmix
from cacapp.fish.signals.dot_pair import fit_pairs
from cacapp.fish.signals.judge import Spots, count_range, count_signals, flip_costs, judge_spots, nuclei_with_signals_in_overlaps
from cacapp.types import DAPI, Array, FrameSource, Instance, Shapes, Signals

DIAMETER_IN_SIGMAS = 3.3  # of a dot: the diameter of a signal over its standard deviation
PAIR_DIAMETERS = 1.3  # dots at most this far apart are fitted together: one copy or two
UNEXPECTED_MAX_SHARE = 0.3  # of light between dyes that are no neighbours


Detect = Callable[[Array, Sequence[Instance], float | None], Signals]
"""A signal detector, called."""


@dataclass(frozen=True, slots=True)
class CountTask:
    """One frame's work: where its pixels are, and its cells as the segmentation left them."""

    source: FrameSource
    cell_ids: tuple[int, ...]
    nuclei: tuple[Instance, ...]
    shapes: Shapes
    focus: Array
    excluded: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class CountedFrame:
    """What counting gives for one frame, before it is stored. Places are DAPI's: a channel's chromatic shift is taken back."""

    cell_ids: tuple[int, ...]
    spots: dict[str, Spots]
    counts: Array
    calls: list[Call]
    exclusions: list[str | None]
    shifts: dict[str, Shift]
    crosstalk: list[Crosstalk]
    quality: FrameQuality
    cameras: dict[str, Camera | None]


def count_frame(detect: Detect, assay: Assay, pixels: Mapping[str, Array], pixel_size_um: float | None, task: CountTask) -> CountedFrame:
    """Signals, counts and calls of a frame's nuclei.

    Args:
        detect: finds the dots of a plane, (Y, X), in the nuclei; the pixel size is in µm or None.
        pixels: (Y, X) uint8 or uint16 by channel, DAPI and the assay's, as the camera gave them.
    """
    pixel, dapi = pixel_size_um, pixels[DAPI]
    planes = {c: pixels[c] for c in assay.channels}
    with pool_of_channels() as pool:
        grey = levels(dapi)
        zoning = pool.submit(lambda: find_overlap_zones(dapi, task.nuclei, grey.background, find_unsegmented(dapi, task.nuclei, grey)))
        cameras = dict(zip(assay.channels, pool.map(camera_of, planes.values()), strict=True))
        outlines = soft_outlines(task.nuclei)
        origin = measure_shift(dapi, outlines)
        shifts = dict(zip(assay.channels, pool.map(lambda c: estimate_shift(planes[c], outlines, origin), assay.channels), strict=True))
        planes = {c: aligned(planes[c], shifts[c]) for c in assay.channels}
        measuring = pool.submit(measure_frame, pixels, task.nuclei, task.focus, task.shapes, pixel, assay)
        planes, crosstalk = without_crosstalk(planes, task.nuclei, pixel, assay)
        found = list(pool.map(lambda c: detect(planes[c], task.nuclei, pixel), assay.channels))
        candidates = dict(zip(assay.channels, found, strict=True))
        reach_px = PAIR_DIAMETERS * assay.signals.signal_diameter_px(pixel)
        pairs = {c: fit_pairs(planes[c], candidates[c], reach_px) for c in assay.channels}
    spots = judge_spots(candidates, task.nuclei, pixel, assay, zoning.result(), pairs)
    n = len(task.nuclei)
    counts = count_signals(spots, n, assay)
    saturated, shared = measuring.result().saturated, nuclei_with_signals_in_overlaps(spots, n)
    judge = partial(judge_nuclei, task.shapes, task.focus, assay, shared=shared, saturated=saturated, counts=counts)
    gates = judge()
    single = np.array([gate is None for gate in gates], bool) & ~is_cac(counts, assay)
    usual = seam_threshold(dapi, grey.background, task.nuclei, single)
    heaps = np.array([gate == AGGREGATE for gate in gates], bool)
    if heaps.any():
        gates = judge(undivided=without_concavity_or_seam(dapi, grey.background, task.nuclei, heaps, usual))
    exclusions = [gate or filtered for gate, filtered in zip(gates, task.excluded, strict=True)]
    sound = np.array([reason is None or reason in OF_CHANNELS for reason in exclusions], bool)
    quality = with_signals(measuring.result(), spots, counts, sound, assay)
    if failed := failures(quality, assay):
        exclusions = [reason or f"{FAILED_QC}{failed[0]}" for reason in exclusions]
    lose, gain = flip_costs(spots, n, assay)
    evaluable = np.array([reason is None for reason in exclusions], bool)
    fewest, most = count_range(spots, n, assay)
    two = may_be_two(dapi, grey.background, task.nuclei, spots, counts, evaluable, assay, usual)
    calls = call_cells(
        counts,
        evaluable,
        assay,
        lose=lose,
        gain=gain,
        fewest=fewest,
        most=most,
        two_nuclei=two,
        part=may_be_part(task.nuclei, evaluable),
    )
    return CountedFrame(task.cell_ids, spots, counts, calls, exclusions, shifts, crosstalk, quality, cameras)


def pool_of_channels() -> ThreadPoolExecutor:
    # channels two at a time: half of the work is in numpy, which uses one core; a worker that is to use one thread does so here too
    return ThreadPoolExecutor(max(1, min(2, cv2.getNumThreads())))


def without_crosstalk(
    planes: Mapping[str, Array], nuclei: Sequence[Instance], pixel_size_um: float | None, assay: Assay
) -> tuple[dict[str, Array], list[Crosstalk]]:
    """The probe planes without the neighbouring dyes' light, and the shares that were taken off, learnt from the frame.

    Args:
        planes: (Y, X) uint8 or uint16 by channel of the assay.
    """
    rules = assay.signals.bleed_through
    pairs = [(p.donor, p.acceptor, p.max_share) for p in rules.pairs]
    known = {pair[:2] for pair in pairs}
    # between dyes that are no neighbours it is measured too: it tells that channels are swapped
    strangers = [(d, a, UNEXPECTED_MAX_SHARE) for d, a in permutations(assay.channels, 2) if (d, a) not in known]
    sigma_px = assay.signals.signal_diameter_px(pixel_size_um) / DIAMETER_IN_SIGMAS
    found = estimate_crosstalk(planes, nuclei, [*pairs, *strangers], sigma_px, rules.min_donor_spots)
    return unmix(planes, found[: len(pairs)]), found
