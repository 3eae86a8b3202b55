"""Step ``pseudo-label``: judge which masks of a segmentation become labels to train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from sqlmodel import Session

from cacapp import host as guard
from cacapp.api import InstanceFilter, Prompter
from cacapp.arrays.agreement import SAME_NUCLEUS_IOU, has_match
from cacapp.arrays.shapes import shapes_of
from cacapp.db.cells.places import Place, instances_of, places_in_frame
from cacapp.db.cells.pseudo_labels import (
    STEP,
    Judgement,
    PseudoLabelStats,
    accepted_count,
    agreement_reason,
    pseudo_label_run,
    pseudo_label_stats,
    write_pseudo_labels,
)
from cacapp.db.engine.session import Database
from cacapp.db.queries import latest_run
from cacapp.db.runs.ledger import SUCCEEDED, fingerprint, frames_in_state, get_run
from cacapp.db.tables import FrameRow, Run, Slide
from cacapp.engine import Engine, engine_or_new
from cacapp.exceptions import CacappError, UsageError
from cacapp.frames import open_frame
from cacapp.host import Host
from cacapp.report.wording import plural
from cacapp.runs.acquire import Job
from cacapp.runs.choice import Choice, build_algorithm
from cacapp.runs.ledger import announce_frames, run_job
from cacapp.runs.plan import PseudoLabelPlan
from cacapp.runs.progress import Progress, RunReport, Silent
from cacapp.runs.select import select_slides
from cacapp.types import DAPI, FrameSource, Instance


@dataclass(frozen=True, slots=True)
class JudgingAlgorithms:
    """The algorithms that judge masks."""

    filters: tuple[InstanceFilter, ...]
    prompters: tuple[Prompter, ...]
    min_agreement: int = 0


@dataclass(frozen=True, slots=True)
class _Task:
    """A frame to judge: its pixels' source and its segmented cells."""

    source: FrameSource
    cells: Sequence[Place]


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """The judgements of a frame's masks, before they are stored."""

    cell_ids: tuple[int, ...]
    judgements: list[Judgement]
    limits: dict[str, dict[str, float]]


def pseudo_label(
    db: Database,
    host: Host,
    plan: PseudoLabelPlan,
    barcodes: Sequence[str] = (),
    *,
    patient: str | None = None,
    run_id: int | None = None,
    force: bool = False,
    engine: Engine | None = None,
    progress: Progress | None = None,
    request_id: int | None = None,
) -> list[RunReport]:
    """Judge the masks of each slide's latest segmentation, or of segment run ``run_id``: one run per slide; finished runs are not repeated.

    Where no slide is named, slides without a segmentation are left out with a warning. ``request_id``: the request this is part of.

    Raises:
        UsageError: unknown slides, algorithms or parameters, a run of another step or slide, or more agreement than algorithms.
        CacappError: a named slide, or none at all, is segmented. Nothing is written then.
    """
    progress = progress or Silent()
    choices, judges = build_judging_algorithms(host, plan)
    with db.reading() as session:
        sources = _segmentations(session, barcodes, patient, run_id, progress)
    progress.start(STEP, sum(len(frames) for _, _, frames in sources))
    reports = []
    with engine_or_new(engine) as place:
        announce_frames(place, (frame for _, _, frames in sources for frame in frames))
        for slide, run, frames in sources:
            job = replace(_job(slide, run, frames, plan, choices, judges), request_id=request_id)
            report = run_job(db, job, force=force, engine=place, progress=progress)
            with db.reading() as session:
                if report.done and not accepted_count(session, [report.run_id]):
                    way_out = f"see why with: cacapp pseudo-label --stats --run {report.run_id}"
                    progress.warn(f"slide {slide.barcode}: no mask is accepted as a label; {way_out}")
            reports.append(report)
    return reports


@dataclass(frozen=True, slots=True)
class RunStats:
    """What a pseudo-label run rejected and why. ``prompters``: the prompt algorithms that it compared with."""

    slide: str
    run_id: int
    segment_run_id: int
    filters: tuple[str, ...]
    prompters: tuple[str, ...]
    stats: PseudoLabelStats


def statistics(
    db: Database, barcodes: Sequence[str] = (), *, patient: str | None = None, run_id: int | None = None
) -> tuple[list[RunStats], PseudoLabelStats]:
    """Return the statistics of each slide's latest pseudo-label run, or of run ``run_id``, and their sums.

    Raises:
        UsageError: unknown slides, or a run of another step or slide.
        CacappError: there are no pseudo-labels of these slides.
    """
    with db.reading() as session:
        slides = {slide.id: slide.barcode for slide in select_slides(session, barcodes, patient)}
        if run_id is None:
            found = [run for slide_id in slides if (run := latest_run(session, slide_id, STEP)) is not None]
        else:
            found = [pseudo_label_run(session, run_id)]
        if not found:
            raise CacappError("there are no pseudo-labels of these slides yet; make some with: cacapp pseudo-label")
        if found[0].slide_id not in slides:
            raise UsageError(f"--run {run_id} is of slide {session.get_one(Slide, found[0].slide_id).barcode}, not of those asked for")
        each = [
            RunStats(
                slides[run.slide_id],
                run.id,
                cast(int, run.source_run_id),
                _chosen(run, "filter"),
                _chosen(run, "prompter"),
                pseudo_label_stats(session, [run.id]),
            )
            for run in found
        ]
        return each, each[0].stats if len(each) == 1 else pseudo_label_stats(session, [one.run_id for one in each])


def _chosen(run: Run, kind: str) -> tuple[str, ...]:
    return tuple(one["name"] for one in run.algorithms.get("chosen", []) if one["kind"] == kind)


def build_judging_algorithms(host: Host, plan: PseudoLabelPlan) -> tuple[list[Choice], JudgingAlgorithms]:
    """Build the plan's algorithms; return their choices too. Raises UsageError for an unknown name or parameter or agreement."""
    available = len(set(plan.prompters))
    if plan.min_agreement > available:
        most = plural(available, "prompt algorithm")
        raise UsageError(f"--min-agreement {plan.min_agreement}: at most {most} can agree; name more with --prompters")
    kinds = [("filter", name) for name in dict.fromkeys(plan.filters)] + [("prompter", name) for name in dict.fromkeys(plan.prompters)]
    chosen = [build_algorithm(host, kind, name, plan.params.get(name, {}), plan.recorded) for kind, name in kinds]
    filters = tuple(built for _, built in chosen if isinstance(built, InstanceFilter))
    prompters = tuple(built for _, built in chosen if isinstance(built, Prompter))
    return [choice for choice, _ in chosen], JudgingAlgorithms(filters, prompters, plan.min_agreement)


def judge_frame(judges: JudgingAlgorithms, task: _Task) -> JudgedFrame:
    """Judge a frame's masks by their shapes; with prompt algorithms, open the frame and run them on DAPI too."""
    source, nuclei = task.source, instances_of(task.cells)
    shapes = shapes_of(nuclei, source.height_px, source.width_px, source.pixel_size_um)
    against: list[list[str]] = [[] for _ in nuclei]
    limits = {}
    for one in judges.filters:
        reasons, limits[one.name] = guard.judge(one, shapes)
        for own, reason in zip(against, reasons, strict=True):
            if reason is not None:
                own.append(f"{one.name}: {reason}")
    agreement: list[list[str]] = [[] for _ in nuclei]
    dapi = open_frame(source).channel(DAPI) if judges.prompters and nuclei else None
    for algorithm in judges.prompters if dapi is not None else ():
        for i in has_match(nuclei, _regions(algorithm, dapi, source.pixel_size_um)).nonzero()[0].tolist():
            agreement[i].append(algorithm.name)
    prompters = [algorithm.name for algorithm in judges.prompters]
    for own, names in zip(against, agreement, strict=True):
        if (reason := agreement_reason(names, prompters, judges.min_agreement)) is not None:
            own.append(reason)
    judged = [Judgement(not own, tuple(own), tuple(names)) for own, names in zip(against, agreement, strict=True)]
    return JudgedFrame(tuple(place.cell_id for place in task.cells), judged, limits)


def _regions(algorithm: Prompter, dapi: Any, pixel_size_um: float | None) -> Sequence[Instance]:
    prompts = guard.prompt(algorithm, dapi, pixel_size_um)
    if len(prompts) and not prompts.regions:
        raise CacappError(f"prompter {algorithm.name!r} gives points without regions to compare masks with; leave it out of --prompters")
    return prompts.regions


def _segmentations(
    session: Session, barcodes: Sequence[str], patient: str | None, run_id: int | None, progress: Progress
) -> list[tuple[Slide, Run, list[FrameRow]]]:
    """Return the slides, the segmentation of each, and its frames."""
    slides = select_slides(session, barcodes, patient)
    if run_id is not None:
        run = get_run(session, run_id)
        if run.step != "segment":
            raise UsageError(f"--run {run_id} is a {run.step} run; give a segment run (see: cacapp runs list)")
        if run.status not in SUCCEEDED:
            raise CacappError(f"run {run_id} is not finished ({run.status}); finish it with cacapp segment first")
        slides = [slide for slide in slides if slide.id == run.slide_id]
        if not slides:
            raise UsageError(f"--run {run_id} is of slide {session.get_one(Slide, run.slide_id).barcode}, not of those asked for")
        return [(slides[0], run, frames_in_state(session, run_id, "done"))]
    found, waiting = [], []
    for slide in slides:
        latest = latest_run(session, slide.id, "segment")
        if latest is None:
            waiting.append(slide.barcode)
        else:
            found.append((slide, latest, frames_in_state(session, latest.id, "done")))
    if waiting and (barcodes or not found):
        raise CacappError(f"slide {waiting[0]} is not segmented yet; run: cacapp segment {waiting[0]}")
    for barcode in waiting:
        progress.warn(f"slide {barcode} is not segmented yet and left out; run: cacapp segment {barcode}")
    return found


def _job(
    slide: Slide, run: Run, frames: Sequence[FrameRow], plan: PseudoLabelPlan, choices: Sequence[Choice], judges: JudgingAlgorithms
) -> Job[_Task, JudgedFrame]:
    records = [choice.record() for choice in choices]
    return Job(
        slide_id=slide.id,
        barcode=slide.barcode,
        step=STEP,
        fingerprint=fingerprint(
            step=STEP,
            segmentation=(run.id, run.fingerprint),
            frames=[(f.name, f.sha256) for f in frames],
            algorithms=records,
            min_agreement=plan.min_agreement,
        ),
        run={
            "source_run_id": run.id,
            "algorithms": {"chosen": records},
            "params": {**{name: dict(values) for name, values in plan.params.items()}, STEP: _settings(plan)},
        },
        frames=frames,
        work=partial(judge_frame, judges),
        item=partial(_task, run_id=run.id),
        write=_write,
        warn=lambda frame, result: None,  # a frame without labels is common; a run without any is reported at its end
    )


def _settings(plan: PseudoLabelPlan) -> dict[str, Any]:
    return {"prompters": list(plan.prompters), "min_agreement": plan.min_agreement, "same_nucleus_iou": SAME_NUCLEUS_IOU}


def _task(session: Session, frame: FrameRow, source: FrameSource, *, run_id: int) -> _Task:
    return _Task(source, places_in_frame(session, run_id, frame.id))


def _write(session: Session, run_id: int, frame: FrameRow, result: JudgedFrame) -> tuple[int, dict[str, Any]]:
    write_pseudo_labels(session, run_id, frame.id, result.cell_ids, result.judgements)
    accepted = sum(j.accepted for j in result.judgements)
    return len(result.judgements), {"limits": result.limits, "accepted": accepted, "rejected": len(result.judgements) - accepted}
