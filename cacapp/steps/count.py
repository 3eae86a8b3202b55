"""Step ``count``: probe channels to signals, counts, calls and the patient's result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
from sqlmodel import Session

from cacapp import host as guard
from cacapp.api import SignalDetector
from cacapp.db.cells.calls import write_calls, write_counts, write_signals
from cacapp.db.cells.nuclei import read_cells
from cacapp.db.engine.session import Database
from cacapp.db.queries import latest_run, missing_frames
from cacapp.db.runs.ledger import fingerprint, frames_in_state, lock_slides
from cacapp.db.slides import frame_source
from cacapp.db.tables import FrameRow, Run, Slide
from cacapp.engine import Engine, engine_or_new
from cacapp.exceptions import CacappError
from cacapp.fish.assay.model import Assay
from cacapp.fish.count_frame import CountedFrame, CountTask, count_frame, pool_of_channels
from cacapp.fish.evaluability import edge_contact_diameters
from cacapp.frames import open_frame
from cacapp.host import Host
from cacapp.results.duplicates import mark_duplicates
from cacapp.results.geometry import geometry_of
from cacapp.results.patient import refresh_results
from cacapp.results.slide_quality import inspect_slide, is_inspected
from cacapp.runs.acquire import Job
from cacapp.runs.choice import Choice, build_algorithm
from cacapp.runs.counting_code import code_digest
from cacapp.runs.environment import environment
from cacapp.runs.ledger import announce_frames, run_job
from cacapp.runs.plan import CountPlan
from cacapp.runs.progress import Progress, RunReport, Silent
from cacapp.runs.select import select_slides
from cacapp.types import DAPI, FrameSource, Shapes


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
    """Count signals in the cells of each slide's latest segmentation, calls the cells, and brings the patients' results up to date.

    Where no slide is named, those that are not segmented yet are left out with a warning. ``request_id``: the command that it is part of.

    Raises UsageError for unknown slides, detectors or parameters, and CacappError for a named slide that is not segmented, before
    anything is written.
    """
    progress = progress or Silent()
    choice, detector = build_algorithm(host, "signal-detector", plan.detector, plan.params, plan.recorded)
    with db.reading() as session:
        slides = select_slides(session, barcodes, patient)
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
    with engine_or_new(engine) as place:
        announce_frames(place, (frame for _, frames in sources.values() for frame in frames))
        for slide in slides:
            run, frames = sources[slide.barcode]
            job = replace(_job(slide, run, frames, plan, choice, cast(SignalDetector, detector)), request_id=request_id)
            reports.append(run_job(db, job, force=force, engine=place, progress=progress))
    with db.session() as session:
        lock_slides(session, [slide.id for slide in slides])
        for report in reports:
            if not (report.repeated and is_inspected(session, report.run_id)):  # or killed just before this
                for line in inspect_slide(session, report.run_id, plan.assay):
                    progress.warn(line)
                mark_duplicates(session, report.run_id)
            for line in geometry_of(session, report.run_id).impossible:
                progress.warn(f"slide {report.slide}: {line}")
        warnings = refresh_results(session, [r.run_id for r in reports], plan.assay, plan.min_evaluable_cells)
        warnings += [str(one) for one in missing_frames(session, [slide.barcode for slide in slides])]
    for line in warnings:
        progress.warn(line)
    return reports


def _segmented(session: Session, slide: Slide) -> tuple[Run, list[FrameRow]] | None:
    run = latest_run(session, slide.id, "segment")
    return None if run is None else (run, frames_in_state(session, run.id, "done"))


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
) -> Job[CountTask, CountedFrame]:
    record = choice.record()
    return Job(
        slide_id=slide.id,
        barcode=slide.barcode,
        step="count",
        fingerprint=fingerprint(
            step="count",
            segmentation=(run.id, run.fingerprint),
            frames=[(f.name, f.sha256) for f in frames],
            algorithms=[record],
            assay=plan.assay.sha256,
            counting_code=code_digest(),
        ),
        run={
            "source_run_id": run.id,
            "algorithms": {"chosen": [record], "environment": environment("count")},
            "params": {plan.detector: dict(plan.params)},
            "weights_sha256": choice.weights_sha256,
            "assay_name": plan.assay.name,
            "assay_version": plan.assay.version,
            "assay_toml": plan.assay.toml(),
        },
        frames=frames,
        work=partial(open_and_count, detector, plan.assay),
        item=partial(_task, run_id=run.id, max_contact=plan.assay.nuclei.max_edge_contact_diameters),
        write=partial(_write, channels=plan.assay.channels),
        warn=_warning,
    )


def open_and_count(detector: SignalDetector, assay: Assay, task: CountTask) -> CountedFrame:
    """Open a frame, read DAPI and the assay's channels, and count its signals. Raises CacappError where a file is gone or changed."""
    frame = open_frame(task.source)
    names = (DAPI, *assay.channels)
    with pool_of_channels() as pool:
        planes = dict(zip(names, pool.map(frame.channel, names), strict=True))
    return count_frame(partial(guard.detect, detector), assay, planes, frame.pixel_size_um, task)


def _task(session: Session, frame: FrameRow, source: FrameSource, *, run_id: int, max_contact: float) -> CountTask:
    cells = read_cells(session, run_id, frame.id)
    edge = [edge_contact_diameters(c.instance, frame.height_px, frame.width_px) > max_contact for c in cells]
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
    return CountTask(source, tuple(c.id for c in cells), tuple(c.instance for c in cells), shapes, focus, excluded)


def _write(session: Session, run_id: int, frame: FrameRow, result: CountedFrame, *, channels: Sequence[str]) -> tuple[int, dict[str, Any]]:
    frame_id = frame.id
    names = [c.name for c in frame_source(session, frame).channels]
    written = 0
    for channel in channels:
        s = result.spots[channel]
        owners = [result.cell_ids[i] if i >= 0 else None for i in s.cell.tolist()]
        others = {
            i: result.cell_ids[j] if (j := int(s.other[i])) >= 0 else None for i in np.flatnonzero(s.ambiguous & (s.cell >= 0)).tolist()
        }
        dots = (s.yx, s.snr, s.amplitude, s.sigma_px)
        write_signals(session, run_id, frame_id, names.index(channel), *dots, owners, list(s.reason), others)
        written += len(s)
    write_counts(session, run_id, result.cell_ids, result.counts, [names.index(c) for c in channels])
    write_calls(session, run_id, result.cell_ids, result.calls)
    outcome = {
        "signals": {c: int(result.spots[c].counts.sum()) for c in channels},
        "shift_yx_px": {c: [round(s.y_px, 2), round(s.x_px, 2)] for c, s in result.shifts.items() if s.n_nuclei},
        "crosstalk": {f"{c.donor}>{c.acceptor}": round(c.share, 4) for c in result.crosstalk if c.n_dots},
        "camera": {c: {"gain": round(k.gain, 3), "dark_noise": round(k.dark_noise, 2)} for c, k in result.cameras.items() if k},
        "quality": result.quality.record(),
    }
    return written, outcome


def _warning(frame: FrameRow, result: CountedFrame) -> str | None:
    evaluable = np.array([call.evaluable for call in result.calls], bool)
    if not evaluable.any():
        return None
    empty = [c for c, column in zip(result.spots, result.counts[evaluable].T, strict=True) if not column.any()]
    return (
        f"no signal in any nucleus in channel {', '.join(empty)}; is it the right channel, and did the probe hybridise?" if empty else None
    )
