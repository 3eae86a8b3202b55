"""Step ``segment``: find the nuclei in DAPI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

from cacapp.db.engine.session import Database
from cacapp.db.models import with_model_files
from cacapp.db.runs.ledger import fingerprint
from cacapp.db.slides import frames_of
from cacapp.db.tables import FrameRow, Slide
from cacapp.engine import Engine, engine_or_new
from cacapp.exceptions import CacappError
from cacapp.host import Host
from cacapp.runs.acquire import Job
from cacapp.runs.choice import Choice
from cacapp.runs.environment import environment
from cacapp.runs.ledger import announce_frames, run_job
from cacapp.runs.plan import SegmentPlan
from cacapp.runs.progress import Progress, RunReport, Silent
from cacapp.runs.segment_frame import Algorithms, SegmentedFrame, build_algorithms, segment_frame, warning_of, write_segmented
from cacapp.runs.select import select_slides
from cacapp.types import FrameSource


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
    """Segment the frames of the slides (all by default): one run per slide; finished runs are not repeated.

    Args:
        request_id: the request that this is part of.

    Raises:
        UsageError: unknown slides, algorithms or parameters; nothing is written then.
    """
    with db.reading() as session:
        plan = replace(plan, params=with_model_files(session, plan.params))
    choices, algorithms = build_algorithms(host, plan)
    with db.reading() as session:
        slides = select_slides(session, barcodes, patient)
        frames = {slide.barcode: frames_of(session, slide.id) for slide in slides}
    empty = next((barcode for barcode, found in frames.items() if not found), None)
    if empty is not None:
        raise CacappError(f"slide {empty} has no frames; add some with: cacapp ingest PATH... --slide {empty}")
    progress = progress or Silent()
    progress.start("segment", sum(map(len, frames.values())))
    jobs = (replace(_job(slide, frames[slide.barcode], plan, choices, algorithms), request_id=request_id) for slide in slides)
    with engine_or_new(engine) as place:
        announce_frames(place, chain.from_iterable(frames.values()))
        return [run_job(db, job, force=force, engine=place, progress=progress) for job in jobs]


def _job(
    slide: Slide, frames: Sequence[FrameRow], plan: SegmentPlan, choices: Sequence[Choice], algorithms: Algorithms
) -> Job[FrameSource, SegmentedFrame]:
    records = [choice.record() for choice in choices]
    inputs = [(f.name, f.sha256, f.scene, f.projection, *([f.pixel_size_um] if f.pixel_size_source else [])) for f in frames]
    work: Callable[[FrameSource], SegmentedFrame] = partial(segment_frame, algorithms)
    return Job(
        slide_id=slide.id,
        barcode=slide.barcode,
        step="segment",
        fingerprint=fingerprint(step="segment", inputs=inputs, algorithms=records, seed=plan.seed, device="cpu"),
        run={
            "algorithms": {"chosen": records, "environment": environment("segment")},
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
