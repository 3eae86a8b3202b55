"""Step ``count``: probe channels to signals, counts, calls and the patient's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import permutations
from typing import Any, cast

import cv2
import numpy as np
from sqlmodel import Session

from cacapp import defaults
from cacapp import host as guard
from cacapp.api import SignalDetector
from cacapp.arrays.background import levels
from cacapp.arrays.chromatic import Shift, aligned, estimate_shift
from cacapp.arrays.crosstalk import Crosstalk, estimate_crosstalk, unmix
from cacapp.arrays.dot_pair import fit_pairs
from cacapp.arrays.shared_zone import shared_zones
from cacapp.arrays.unclaimed import unclaimed
from cacapp.db.calls import write_calls, write_counts, write_signals
from cacapp.db.cells import read_cells
from cacapp.db.queries import latest_run, missing_frames
from cacapp.db.runs import fingerprint, frames_in_state, get_id, lock_slides
from cacapp.db.session import Database
from cacapp.db.slides import frame_source
from cacapp.db.tables import FrameRow, Run, Slide
from cacapp.engine import Engine
from cacapp.errors import CacappError
from cacapp.fish.assay import Assay
from cacapp.fish.calls import CellCall, call_cells
from cacapp.fish.evaluability import OF_CHANNELS, judge_nuclei
from cacapp.fish.qc import FAILED_QC
from cacapp.fish.spots import Spots, count_range, count_signals, flip_costs, judge_spots, shared_nuclei
from cacapp.frames import open_frame
from cacapp.host import Host
from cacapp.steps.doubt import may_be_two
from cacapp.steps.duplicates import mark_duplicates
from cacapp.steps.environment import environment
from cacapp.steps.frame_quality import FrameQuality, failures, measure_frame, with_signals
from cacapp.steps.ledger import Job, carry_out
from cacapp.steps.plan import Choice, Records, choose
from cacapp.steps.progress import Progress, RunReport, Silent
from cacapp.steps.qc import inspect_slide, inspected
from cacapp.steps.result import refresh_results
from cacapp.steps.select import chosen_slides
from cacapp.types import DAPI, Array, FrameSource, Instance, Shapes

DIAMETER_IN_SIGMAS = 3.3  # of a dot: the diameter of a signal over its standard deviation
PAIR_DIAMETERS = 1.3  # dots at most this far apart are fitted together: one copy or two
UNEXPECTED_MAX_SHARE = 0.3  # of light between dyes that are no neighbours


@dataclass(frozen=True, slots=True)
class CountPlan:
    """Detector, its parameters, and the assay; ``min_evaluable_cells`` replaces the assay's for slides smaller than a laboratory's.

    ``recorded``: the detector as an earlier run kept it, to repeat it.
    """

    assay: Assay
    detector: str = defaults.DETECTOR
    params: Mapping[str, Any] = field(default_factory=dict)
    min_evaluable_cells: int | None = None
    recorded: Records = ()


@dataclass(frozen=True, slots=True)
class _Task:
    """One frame's work: where its pixels are, and its cells as the segmentation left them."""

    source: FrameSource
    cell_ids: tuple[int, ...]
    nuclei: tuple[Instance, ...]
    shapes: Shapes
    focus: Array
    excluded: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _Called:
    """A call as the database stores it."""

    call: CellCall
    exclusion_reason: str | None

    @property
    def class_(self) -> str | None:
        return self.call.cell_class

    def __getattr__(self, name: str) -> Any:
        return getattr(self.call, name)


@dataclass(frozen=True, slots=True)
class CountedFrame:
    """What counting gives for one frame, before it is stored. Places are DAPI's: a channel's chromatic shift is taken back."""

    cell_ids: tuple[int, ...]
    spots: dict[str, Spots]
    counts: Array
    calls: list[CellCall]
    exclusions: list[str | None]
    shifts: dict[str, Shift]
    crosstalk: list[Crosstalk]
    quality: FrameQuality


def count(
    db: Database,
    host: Host,
    plan: CountPlan,
    barcodes: Sequence[str] = (),
    *,
    patient: str | None = None,
    force: bool = False,
    engine: Engine | None = None,
    progress: Progress | None = None,
    request_id: int | None = None,
) -> list[RunReport]:
    """Counts signals in the cells of each slide's latest segmentation, calls the cells, and brings the patients' results up to date.

    Where no slide is named, those that are not segmented yet are left out with a warning. ``request_id``: the command this is part of.

    Raises UsageError for unknown slides, detectors or parameters, and CacappError for a named slide that is not segmented, before
    anything is written.
    """
    progress = progress or Silent()
    choice, detector = choose(host, "signal-detector", plan.detector, plan.params, plan.recorded)
    with db.reading() as session:
        slides = chosen_slides(session, barcodes, patient)
        sources = {slide.barcode: found for slide in slides if (found := _segmented(session, slide)) is not None}
        waiting = [slide.barcode for slide in slides if slide.barcode not in sources]
        if waiting and (barcodes or not sources):
            raise CacappError(f"slide {waiting[0]} is not segmented yet; run: cacapp segment {waiting[0]}")
        slides = [slide for slide in slides if slide.barcode in sources]
        for slide in slides:
            _require_channels(session, slide, sources[slide.barcode][1], plan.assay)
    for barcode in waiting:
        progress.warn(f"slide {barcode} is not segmented yet and left out; run: cacapp segment {barcode}")
    progress.start("count", sum(len(frames) for _, frames in sources.values()))
    reports = []
    for slide in slides:
        run, frames = sources[slide.barcode]
        job = replace(_job(slide, run, frames, plan, choice, cast(SignalDetector, detector)), request_id=request_id)
        reports.append(carry_out(db, job, force=force, engine=engine or Engine(), progress=progress))
    with db.session() as session:
        lock_slides(session, [cast(int, slide.id) for slide in slides])
        for report in reports:
            if not (report.repeated and inspected(session, report.run_id)):  # or killed just before this
                for line in inspect_slide(session, report.run_id, plan.assay):
                    progress.warn(line)
                mark_duplicates(session, report.run_id)
        warnings = refresh_results(session, [r.run_id for r in reports], plan.assay, plan.min_evaluable_cells)
        warnings += [str(one) for one in missing_frames(session, [slide.barcode for slide in slides])]
    for line in warnings:
        progress.warn(line)
    return reports


def count_frame(detector: SignalDetector, assay: Assay, task: _Task) -> CountedFrame:
    """Opens a frame, detects dots in every probe channel and turns them into counts and calls."""
    frame = open_frame(task.source)
    pixel = frame.pixel_size_um
    # channels two at a time: half of the work is in numpy, which uses one core; a worker that is to use one thread does so here too
    with ThreadPoolExecutor(max(1, min(2, cv2.getNumThreads()))) as pool:
        planes = dict(zip(assay.channels, pool.map(frame.channel, assay.channels), strict=True))
        dapi = frame.channel(DAPI)
        quality = measure_frame({DAPI: dapi, **planes}, task.nuclei, task.focus, task.shapes, pixel, assay)
        shifts = dict(zip(assay.channels, pool.map(lambda c: estimate_shift(planes[c], task.nuclei), assay.channels), strict=True))
        planes = {c: aligned(planes[c], shifts[c]) for c in assay.channels}
        planes, crosstalk = without_crosstalk(planes, task.nuclei, pixel, assay)
        found = list(pool.map(lambda c: guard.detect(detector, planes[c], task.nuclei, pixel), assay.channels))
        candidates = dict(zip(assay.channels, found, strict=True))
        reach_px = PAIR_DIAMETERS * assay.signals.signal_diameter_px(pixel)
        pairs = {c: fit_pairs(planes[c], candidates[c], reach_px) for c in assay.channels}
    grey = levels(dapi)
    zones = shared_zones(dapi, task.nuclei, grey.background, unclaimed(dapi, task.nuclei, grey))
    spots = judge_spots(candidates, task.nuclei, pixel, assay, zones, pairs)
    n = len(task.nuclei)
    counts = count_signals(spots, n, assay)
    gates = judge_nuclei(task.shapes, task.focus, assay, shared=shared_nuclei(spots, n), saturated=quality.saturated, counts=counts)
    exclusions = [gate or filtered for gate, filtered in zip(gates, task.excluded, strict=True)]
    sound = np.array([reason is None or reason in OF_CHANNELS for reason in exclusions], bool)
    quality = with_signals(quality, spots, counts, sound, assay)
    if failed := failures(quality, assay):
        exclusions = [reason or f"{FAILED_QC}{failed[0]}" for reason in exclusions]
    lose, gain = flip_costs(spots, n, assay)
    evaluable = np.array([reason is None for reason in exclusions], bool)
    fewest, most = count_range(spots, n, assay)
    two = may_be_two(dapi, task.nuclei, spots, counts, evaluable, assay)
    calls = call_cells(
        counts,
        evaluable,
        assay,
        lose=lose,
        gain=gain,
        fewest=fewest,
        most=most,
        two_nuclei=two,
    )
    return CountedFrame(task.cell_ids, spots, counts, calls, exclusions, shifts, crosstalk, quality)


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


def _segmented(session: Session, slide: Slide) -> tuple[Run, list[FrameRow]] | None:
    run = latest_run(session, cast(int, slide.id), "segment")
    return None if run is None else (run, frames_in_state(session, get_id(run), "done"))


def _require_channels(session: Session, slide: Slide, frames: Sequence[FrameRow], assay: Assay) -> None:
    for frame in frames:
        there = [c.name for c in frame_source(session, frame).channels]
        listed = ", ".join(there)
        missing = [c for c in assay.channels if c not in there]
        if missing:
            raise CacappError(
                f"slide {slide.barcode}, frame {frame.name}: assay {assay.name} needs channel {missing[0]}, the frame has {listed}"
            )


def _job(
    slide: Slide, run: Run, frames: Sequence[FrameRow], plan: CountPlan, choice: Choice, detector: SignalDetector
) -> Job[_Task, CountedFrame]:
    record = choice.record()
    return Job(
        slide_id=cast(int, slide.id),
        barcode=slide.barcode,
        step="count",
        fingerprint=fingerprint(
            step="count",
            segmentation=(run.id, run.fingerprint),
            frames=[(f.name, f.sha256) for f in frames],
            algorithms=[record],
            assay=plan.assay.sha256,
        ),
        run={
            "source_run_id": run.id,
            "algorithms": {"chosen": [record], "environment": environment()},
            "params": {plan.detector: dict(plan.params)},
            "weights_sha256": choice.weights_sha256,
            "assay_name": plan.assay.name,
            "assay_version": plan.assay.version,
            "assay_toml": plan.assay.toml(),
        },
        frames=frames,
        work=partial(count_frame, detector, plan.assay),
        item=partial(_task, run_id=get_id(run)),
        write=partial(_write, channels=plan.assay.channels),
        warn=_warning,
    )


def _task(session: Session, frame: FrameRow, *, run_id: int) -> _Task:
    cells = read_cells(session, run_id, cast(int, frame.id))
    edge = [_on_edge(c.instance, frame) for c in cells]

    shapes = Shapes(
        area_px=np.array([c.area_px for c in cells], float),
        length_px=np.array([c.length_px for c in cells], float),
        width_px=np.array([c.width_px for c in cells], float),
        roundness=np.array([c.roundness for c in cells], float),
        solidity=np.array([c.solidity for c in cells], float),
        on_edge=np.array(edge, bool),
        pixel_size_um=frame.pixel_size_um,
    )
    focus = np.array([np.nan if c.focus is None else c.focus for c in cells])
    excluded = tuple(c.exclusion_reason for c in cells)
    return _Task(frame_source(session, frame), tuple(c.id for c in cells), tuple(c.instance for c in cells), shapes, focus, excluded)


def _on_edge(nucleus: Instance, frame: FrameRow) -> bool:
    x, y, w, h = nucleus.bbox_xywh
    return x <= 0 or y <= 0 or x + w >= frame.width_px or y + h >= frame.height_px


def _write(session: Session, run_id: int, frame: FrameRow, result: CountedFrame, *, channels: Sequence[str]) -> tuple[int, dict[str, Any]]:
    frame_id = cast(int, frame.id)
    names = [c.name for c in frame_source(session, frame).channels]
    written = 0
    for channel in channels:
        s = result.spots[channel]
        owners = [result.cell_ids[i] if i >= 0 else None for i in s.cell.tolist()]
        rivals = {
            i: result.cell_ids[j] if (j := int(s.other[i])) >= 0 else None for i in np.flatnonzero(s.contested & (s.cell >= 0)).tolist()
        }
        dots = (s.yx, s.snr, s.amplitude, s.sigma_px)
        write_signals(session, run_id, frame_id, names.index(channel), *dots, owners, list(s.reason), rivals)
        written += len(s)
    write_counts(session, run_id, result.cell_ids, result.counts, [names.index(c) for c in channels])
    stored = [_Called(call, reason) for call, reason in zip(result.calls, result.exclusions, strict=True)]
    write_calls(session, run_id, result.cell_ids, stored)
    outcome = {
        "signals": {c: int(result.spots[c].counts.sum()) for c in channels},
        "shift_yx_px": {c: [round(s.y_px, 2), round(s.x_px, 2)] for c, s in result.shifts.items() if s.n_nuclei},
        "crosstalk": {f"{c.donor}>{c.acceptor}": round(c.share, 4) for c in result.crosstalk if c.n_dots},
        "quality": result.quality.record(),
    }
    return written, outcome


def _warning(frame: FrameRow, result: CountedFrame) -> str | None:
    evaluable = np.array([reason is None for reason in result.exclusions], bool)
    if not evaluable.any():
        return None
    empty = [c for c, column in zip(result.spots, result.counts[evaluable].T, strict=True) if not column.any()]
    return (
        f"no signal in any nucleus in channel {', '.join(empty)}; is it the right channel, and did the probe hybridise?" if empty else None
    )
