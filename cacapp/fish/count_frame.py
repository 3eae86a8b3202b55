"""Signals, counts and calls of one frame in four stages: prepare, detect, judge, call. Pixels and nuclei in, values out; no database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import permutations

import cv2
import numpy as np

from cacapp.arrays.background import Levels, levels
from cacapp.arrays.camera import Camera, camera_of
from cacapp.arrays.chromatic import Shift, align, estimate_shift, measure_shift, soft_outlines
from cacapp.arrays.dot_shape import DotShape, dot_shape
from cacapp.arrays.grey_values import noise_correlation
from cacapp.arrays.spikes import Despiked, without_spikes
from cacapp.fish.assay.model import Assay
from cacapp.fish.calls import Call, call_cells
from cacapp.fish.doubt.doubts import DOUBTS
from cacapp.fish.doubt.margin import cac_margin
from cacapp.fish.doubt.overlap_zones import find_overlap_zones
from cacapp.fish.doubt.probable import above_review
from cacapp.fish.doubt.two_in_one import seam_threshold, without_concavity_or_seam
from cacapp.fish.doubt.unsegmented import find_unsegmented
from cacapp.fish.evaluability import AGGREGATE, OF_CHANNELS, judge_nuclei
from cacapp.fish.evidence import Evidence
from cacapp.fish.probability.frame import weigh
from cacapp.fish.quality.frame import FrameQuality, failures, measure_frame, with_signals
from cacapp.fish.quality.slide import FAILED_QC
from cacapp.fish.signals.copies import fit_pairs
from cacapp.fish.signals.counts import count_range, count_signals, flip_costs, nuclei_with_signals_in_overlaps
from cacapp.fish.signals.crosstalk import Crosstalk, estimate_crosstalk, unmix
from cacapp.fish.signals.judge import Spots, judge_spots
from cacapp.types import DAPI, Array, DotPairs, FrameSource, Instance, OverlapZone, Shapes, Signals

DIAMETER_IN_SIGMAS = 3.3  # of a dot: the diameter of a signal over its standard deviation
PIXEL_SD = 12**-0.5  # standard deviation of the light on one pixel, px: a pixel is a square
PAIR_DIAMETERS = 1.3  # dots at most this far apart are fitted together: one copy or two
UNEXPECTED_MAX_SHARE = 0.3  # of light between dyes that are no neighbours

Detect = Callable[[Array, Sequence[Instance], float | None], Signals]
"""Finds the dots of a plane, (Y, X), in the nuclei; the pixel size is in µm or None."""


@dataclass(frozen=True, slots=True)
class CountTask:
    """The work on one frame: its file, and its N cells as the segmentation stored them.

    Attributes:
        focus: (N,) sharpness of each nucleus in DAPI, NaN where unknown.
        excluded: N reasons why a filter excluded the cell, None for one that it kept.
    """

    source: FrameSource
    cell_ids: tuple[int, ...]
    nuclei: tuple[Instance, ...]
    shapes: Shapes
    focus: Array
    excluded: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """A frame whose probe planes lie on DAPI, without the other dyes' light.

    Attributes:
        dapi: (Y, X), as the camera gave it; ``grey``: its levels.
        planes: (Y, X) by channel of the assay, uint8 or uint16.
        zones, quality: computed in the pool while the next stage runs: where nuclei may overlap, and the planes' quality.
        shifts, cameras: by channel.
        crosstalk: of all pairs of channels.
    """

    dapi: Array
    grey: Levels
    planes: dict[str, Array]
    zones: Future[list[OverlapZone]]
    quality: Future[FrameQuality]
    shifts: dict[str, Shift]
    crosstalk: list[Crosstalk]
    cameras: dict[str, Camera | None]


@dataclass(frozen=True, slots=True)
class DetectedDots:
    """Candidate dots by channel, and the fits of close ones by one Gaussian and by two."""

    candidates: dict[str, Signals]
    pairs: dict[str, DotPairs]


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """The evidence of a frame's calls, and its quality with what the signals say."""

    evidence: Evidence
    quality: FrameQuality


@dataclass(frozen=True, slots=True)
class CountedFrame:
    """The result of a frame, before it is stored. Positions are in DAPI's coordinates, the channels' chromatic shifts being removed."""

    cell_ids: tuple[int, ...]
    spots: Mapping[str, Spots]
    counts: Array
    calls: list[Call]
    shifts: dict[str, Shift]
    crosstalk: list[Crosstalk]
    quality: FrameQuality
    cameras: dict[str, Camera | None]


def count_frame(detector: Detect, assay: Assay, pixels: Mapping[str, Array], pixel_size_um: float | None, task: CountTask) -> CountedFrame:
    """Count the signals of a frame's nuclei and call the cells.

    Args:
        pixels: (Y, X) uint8 or uint16 by channel, DAPI and the assay's, as the camera gave them.
    """
    with pool_of_channels() as pool:
        prepared = prepare(pool, assay, pixels, pixel_size_um, task)
        dots = detect(pool, detector, assay, prepared.planes, pixel_size_um, task.nuclei)
    judged = judge(assay, prepared, dots, pixel_size_um, task)
    return CountedFrame(
        cell_ids=task.cell_ids,
        spots=judged.evidence.spots,
        counts=judged.evidence.counts,
        calls=call_cells(judged.evidence, DOUBTS),
        shifts=prepared.shifts,
        crosstalk=prepared.crosstalk,
        quality=judged.quality,
        cameras=prepared.cameras,
    )


def pool_of_channels() -> ThreadPoolExecutor:
    """Return a pool that works on two channels at a time: half of the work is in numpy, which uses one core.

    A worker process that may use one thread only gets a pool of one.
    """
    return ThreadPoolExecutor(max(1, min(2, cv2.getNumThreads())))


def prepare(
    pool: ThreadPoolExecutor, assay: Assay, pixels: Mapping[str, Array], pixel_size_um: float | None, task: CountTask
) -> PreparedFrame:
    """Align the probe planes with DAPI, remove cross-talk, and start measuring overlap zones and quality."""
    dapi, nuclei = pixels[DAPI], task.nuclei
    grey = levels(dapi)
    zones = pool.submit(lambda: find_overlap_zones(dapi, nuclei, grey.background, find_unsegmented(dapi, nuclei, grey)))
    cameras = dict(zip(assay.channels, pool.map(lambda c: camera_of(pixels[c]), assay.channels), strict=True))
    diameter_px = assay.signals.signal_diameter_px(pixel_size_um)
    shapes = dict(zip(assay.channels, pool.map(lambda c: dot_shape(pixels[c], nuclei, diameter_px), assay.channels), strict=True))
    fill = partial(despike, nuclei=nuclei, assay=assay, diameter_px=diameter_px)
    despiked = dict(zip(assay.channels, pool.map(lambda c: fill(pixels[c], shapes[c], cameras[c]), assay.channels), strict=True))
    planes = {c: d.plane for c, d in despiked.items()}
    outlines = soft_outlines(nuclei)
    origin = measure_shift(dapi, outlines)
    shifts = dict(zip(assay.channels, pool.map(lambda c: estimate_shift(planes[c], outlines, origin), assay.channels), strict=True))
    on_dapi = {c: align(planes[c], shifts[c]) for c in assay.channels}
    quality = pool.submit(measure_frame, pixels, despiked, shapes, nuclei, task.focus, task.shapes, pixel_size_um, assay)
    clean, crosstalk = without_crosstalk(on_dapi, nuclei, pixel_size_um, assay)
    return PreparedFrame(dapi, grey, clean, zones, quality, shifts, crosstalk, cameras)


def despike(
    plane: Array, shape: DotShape, camera: Camera | None, *, nuclei: Sequence[Instance], assay: Assay, diameter_px: float
) -> Despiked:
    """Fill the pixels of a probe plane that are brighter than the objective, and the plane's own dots, allow."""
    rules = assay.signals.spikes
    own = rules.narrowest_medians * shape.sigma_px
    objective = float(np.hypot(rules.narrowest_um * diameter_px / assay.signals.diameter_um, PIXEL_SD))
    treated = not noise_correlation(plane) <= rules.treated_correlation  # or unknown: most pixels equal those around them
    if own < objective * (rules.treated_medians if treated else 1):  # dots so narrow cannot be told from spikes
        return Despiked(plane, 0)
    return without_spikes(plane, nuclei, float(np.fmax(own, objective)), rules.min_sds, camera.gain if camera else 0.0)


def without_crosstalk(
    planes: Mapping[str, Array], nuclei: Sequence[Instance], pixel_size_um: float | None, assay: Assay
) -> tuple[dict[str, Array], list[Crosstalk]]:
    """Return the probe planes without the neighbouring dyes' light, and the shares of light between dyes, estimated from the frame.

    Args:
        planes: (Y, X) uint8 or uint16 by channel of the assay.
    """
    rules = assay.signals.bleed_through
    pairs = [(p.donor, p.acceptor, p.max_share) for p in rules.pairs]
    known = {pair[:2] for pair in pairs}
    # measured between dyes that are no neighbours too: there it shows that channels are swapped
    others = [(d, a, UNEXPECTED_MAX_SHARE) for d, a in permutations(assay.channels, 2) if (d, a) not in known]
    sigma_px = assay.signals.signal_diameter_px(pixel_size_um) / DIAMETER_IN_SIGMAS
    found = estimate_crosstalk(planes, nuclei, [*pairs, *others], sigma_px, rules.min_donor_spots)
    return unmix(planes, found[: len(pairs)]), found


def detect(
    pool: ThreadPoolExecutor,
    detector: Detect,
    assay: Assay,
    planes: Mapping[str, Array],
    pixel_size_um: float | None,
    nuclei: Sequence[Instance],
) -> DetectedDots:
    """Find the candidate dots of each probe plane, and fit those that lie close together."""
    found = list(pool.map(lambda c: detector(planes[c], nuclei, pixel_size_um), assay.channels))
    candidates = dict(zip(assay.channels, found, strict=True))
    reach_px = PAIR_DIAMETERS * assay.signals.signal_diameter_px(pixel_size_um)
    return DetectedDots(candidates, {c: fit_pairs(planes[c], candidates[c], reach_px) for c in assay.channels})


def judge(assay: Assay, prepared: PreparedFrame, dots: DetectedDots, pixel_size_um: float | None, task: CountTask) -> JudgedFrame:
    """Decide which dots count and which nuclei are evaluable, and collect the evidence of the calls."""
    dapi, background, nuclei = prepared.dapi, prepared.grey.background, task.nuclei
    judged = judge_spots(dots.candidates, nuclei, pixel_size_um, assay, prepared.zones.result(), dots.pairs)
    whole = [gate is None and left is None for gate, left in zip(judge_nuclei(task.shapes, task.focus, assay), task.excluded, strict=True)]
    weighed = weigh(judged, prepared.planes, np.array(whole, bool), pixel_size_um, assay)
    spots, n = weighed.spots, len(nuclei)
    counts, measured = count_signals(spots, n, assay), prepared.quality.result()
    in_overlap = nuclei_with_signals_in_overlaps(spots, n)
    lost = weighed.granular & ~above_review(weighed.p_cac, assay)
    light = partial(judge_nuclei, saturated=measured.saturated, plateau=measured.plateau)
    gates = partial(light, task.shapes, task.focus, assay, in_overlap=in_overlap, counts=counts, granular=lost)
    failed = gates()
    single = np.array([reason is None for reason in failed], bool) & ~assay.is_cac(counts)
    threshold = seam_threshold(dapi, background, nuclei, single)
    aggregates = np.array([reason == AGGREGATE for reason in failed], bool)
    if aggregates.any():
        failed = gates(undivided=without_concavity_or_seam(dapi, background, nuclei, aggregates, threshold))
    exclusions = [gate or filtered for gate, filtered in zip(failed, task.excluded, strict=True)]
    sound = np.array([reason is None or reason in OF_CHANNELS for reason in exclusions], bool)
    quality = with_signals(measured, spots, counts, sound, assay)
    if bad := failures(quality, assay):
        exclusions = [reason or f"{FAILED_QC}{bad[0]}" for reason in exclusions]
    fewest, most = count_range(spots, n, assay)
    evidence = Evidence(
        assay=assay,
        nuclei=nuclei,
        dapi=dapi,
        background=background,
        seam_threshold=threshold,
        spots=spots,
        counts=counts,
        fewest=fewest,
        most=most,
        margin=cac_margin(counts, *flip_costs(spots, n, assay), assay),
        exclusions=exclusions,
        p_cac=weighed.p_cac,
        terms=weighed.terms,
        granular=weighed.granular,
    )
    return JudgedFrame(evidence, quality)
