"""Step ``segment``: DAPI to cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any, cast

import numpy as np
from sqlmodel import Session

from cacapp import defaults
from cacapp import host as guard
from cacapp.api import InstanceFilter, Prompter, Segmenter
from cacapp.arrays.focus import focus_of, saturated_share
from cacapp.arrays.shapes import centroids, shapes_of
from cacapp.db.cells.nuclei import write_cells
from cacapp.db.engine.session import Database
from cacapp.db.models import with_model_files
from cacapp.db.runs.ledger import fingerprint
from cacapp.db.slides import frames_of
from cacapp.db.tables import FrameRow, Slide
from cacapp.engine import Engine, engine_or_new
from cacapp.exceptions import CacappError
from cacapp.frames import open_frame
from cacapp.host import Host
from cacapp.runs.acquire import Job
from cacapp.runs.environment import environment
from cacapp.runs.ledger import carry_out, expect
from cacapp.runs.plan import Choice, Records, choose
from cacapp.runs.progress import Progress, RunReport, Silent
from cacapp.runs.select import chosen_slides
from cacapp.types import DAPI, Array, FrameSource, Instance, Prompts, Shapes

SATURATED_WARNING = 0.02


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """The algorithms of a segmentation and their parameters by algorithm name; ``recorded``: as an earlier run kept them, to repeat it."""

    prompter: str = defaults.PROMPTER
    segmenter: str = defaults.SEGMENTER
    filters: Sequence[str] = defaults.FILTERS
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seed: int = 0
    recorded: Records = ()


@dataclass(frozen=True, slots=True)
class Algorithms:
    """The built algorithms of a plan; ``prompter`` None where the segmenter needs no prompts."""

    prompter: Prompter | None
    segmenter: Segmenter
    filters: Sequence[InstanceFilter]


@dataclass(frozen=True, slots=True)
class SegmentedFrame:
    """What segmentation gives for one frame, before it is stored."""

    instances: list[Instance]
    shapes: Shapes
    centroids_yx: Array
    focus: Array
    verdicts: dict[str, list[str | None]]
    limits: dict[str, dict[str, float]]
    saturated_share: float


def segment(
    db: Database,
    host: Host,
    plan: SegmentPlan,
    barcodes: Sequence[str] = (),
    *,
    patient: str | None = None,
    force: bool = False,
    engine: Engine | None = None,
    progress: Progress | None = None,
    request_id: int | None = None,
) -> list[RunReport]:
    """Segments the frames of the slides (all by default), one run a slide; what was done before is not repeated.

    Args:
        request_id: the command this is part of.

    Raises UsageError for unknown slides, algorithms or parameters, before anything is written.
    """
    with db.reading() as session:
        plan = replace(plan, params=with_model_files(session, plan.params))
    choices, algorithms = build_algorithms(host, plan)
    with db.reading() as session:
        slides = chosen_slides(session, barcodes, patient)
        frames = {slide.barcode: frames_of(session, cast(int, slide.id)) for slide in slides}
    empty = next((barcode for barcode, found in frames.items() if not found), None)
    if empty is not None:
        raise CacappError(f"slide {empty} has no frames; add some with: cacapp ingest PATH... --slide {empty}")
    progress = progress or Silent()
    progress.start("segment", sum(map(len, frames.values())))
    jobs = (replace(_job(slide, frames[slide.barcode], plan, choices, algorithms), request_id=request_id) for slide in slides)
    with engine_or_new(engine) as place:
        expect(place, chain.from_iterable(frames.values()))
        return [carry_out(db, job, force=force, engine=place, progress=progress) for job in jobs]


def segment_frame(algorithms: Algorithms, source: FrameSource) -> SegmentedFrame:
    """Opens a frame (refusing a missing or changed file), reads DAPI and runs prompter, segmenter and filters on it."""
    frame = open_frame(source)
    dapi = frame.channel(DAPI)
    prompts = guard.prompt(algorithms.prompter, dapi, frame.pixel_size_um) if algorithms.prompter else Prompts.empty()
    return described(dapi, guard.segment(algorithms.segmenter, dapi, prompts, frame.pixel_size_um), frame.pixel_size_um, algorithms.filters)


def described(
    dapi: Array, instances: list[Instance], pixel_size_um: float | None, filters: Sequence[InstanceFilter] = ()
) -> SegmentedFrame:
    """Nuclei with their shapes, their focus and the filters' verdicts, as a segmentation stores them. dapi: (Y, X)."""
    height_px, width_px = dapi.shape
    shapes = shapes_of(instances, height_px, width_px, pixel_size_um)
    verdicts, limits = {}, {}
    for one in filters:
        verdicts[one.name], limits[one.name] = guard.judge(one, shapes)
    return SegmentedFrame(
        instances, shapes, centroids(instances), focus_of(dapi, instances), verdicts, limits, saturated_share(dapi, instances)
    )


def build_algorithms(host: Host, plan: SegmentPlan) -> tuple[list[Choice], Algorithms]:
    """The plan's algorithms and their records. Raises UsageError for an unknown name or parameter."""

    def build(kind: str, name: str) -> tuple[Choice, Any]:
        return choose(host, kind, name, plan.params.get(name, {}), plan.recorded)

    segmenter_choice, segmenter = build("segmenter", plan.segmenter)
    choices, prompter = [], None
    if segmenter.needs_prompts:
        choice, prompter = build("prompter", plan.prompter)
        choices.append(choice)
    choices.append(segmenter_choice)
    filters = []
    for name in plan.filters:
        choice, built = build("filter", name)
        choices.append(choice)
        filters.append(built)
    return choices, Algorithms(prompter, segmenter, tuple(filters))


def _job(
    slide: Slide, frames: Sequence[FrameRow], plan: SegmentPlan, choices: Sequence[Choice], algorithms: Algorithms
) -> Job[FrameSource, SegmentedFrame]:
    records = [choice.record() for choice in choices]
    inputs = [(f.name, f.sha256, f.scene, f.projection) for f in frames]
    work: Callable[[FrameSource], SegmentedFrame] = partial(segment_frame, algorithms)
    return Job(
        slide_id=cast(int, slide.id),
        barcode=slide.barcode,
        step="segment",
        fingerprint=fingerprint(step="segment", inputs=inputs, algorithms=records, seed=plan.seed, device="cpu"),
        run={
            "algorithms": {"chosen": records, "environment": environment()},
            "params": {name: dict(values) for name, values in plan.params.items()},
            "weights_sha256": next((c.weights_sha256 for c in choices if c.weights_sha256), None),
            "seed": plan.seed,
        },
        frames=frames,
        work=work,
        item=lambda session, frame, source: source,
        write=write_segmented,
        warn=warning_of,
    )


def write_segmented(session: Session, run_id: int, frame: FrameRow, result: SegmentedFrame) -> tuple[int, dict[str, Any]]:
    """Stores a frame's cells; returns their number, and details for the ledger."""
    rejected = list(zip(*result.verdicts.values(), strict=True)) if result.verdicts else [() for _ in result.instances]
    reasons = [next((r for r in row if r is not None), None) for row in rejected]
    frame_id = cast(int, frame.id)
    write_cells(session, run_id, frame_id, result.instances, result.shapes, result.centroids_yx, result.focus, reasons, result.verdicts)
    sharpness = float(np.median(result.focus)) if len(result.focus) else None
    stored = session.get_one(FrameRow, frame_id)
    stored.focus = sharpness
    return len(result.instances), {"limits": result.limits, "saturated_share": round(result.saturated_share, 5), "focus": sharpness}


def warning_of(frame: FrameRow, result: SegmentedFrame) -> str | None:
    """A line about the frame's nuclei worth a person's attention, or None."""
    if not result.instances:
        return "no nuclei found in DAPI"
    if result.saturated_share > SATURATED_WARNING:
        return f"{result.saturated_share:.0%} of the nuclei's DAPI pixels are saturated; expose less"
    return None
