"""What is known of a slide's geometry: pixel sizes and who stated them, how overlap was looked for, pixels that another patient has too."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from sqlalchemy import func, select
from sqlmodel import Session, col

from cacapp.arrays.nuclear_size import impossible_width
from cacapp.db.queries import frames_of_runs
from cacapp.db.tables import Cell, CellCall, Duplicate, FrameRow, Run, Slide
from cacapp.report.quality import SlideGeometry
from cacapp.report.wording import plural
from cacapp.types import Array


def geometry_of(session: Session, run_id: int) -> SlideGeometry:
    """Return what a count run's page says about the geometry of its slide."""
    slide = session.get_one(Slide, session.get_one(Run, run_id).slide_id)
    frames = list(session.execute(select(FrameRow).where(col(FrameRow.id).in_(frames_of_runs([run_id])))).scalars())
    by_size: dict[tuple[float | None, str | None], list[FrameRow]] = defaultdict(list)
    for frame in frames:
        by_size[frame.pixel_size_um, frame.pixel_size_source].append(frame)
    known = [_pixel_size(size_um, source, len(group)) for (size_um, source), group in by_size.items()]
    if len(frames) > 1:
        known.append(_overlap(session, run_id, frames))
    known += _allowed_pixels(frames)
    wrong = [impossible_width(_areas(session, run_id, group), size_um) for (size_um, _), group in by_size.items()]
    return SlideGeometry(slide.barcode, tuple(line for line in wrong if line), tuple(known))


def _areas(session: Session, run_id: int, frames: list[FrameRow]) -> Array:
    query = (
        select(col(Cell.area_px))
        .join(CellCall, col(CellCall.cell_id) == col(Cell.id))
        .where(col(CellCall.run_id) == run_id, col(Cell.frame_id).in_([f.id for f in frames]))
    )
    return np.array(session.execute(query).scalars().all(), float)


def _pixel_size(size_um: float | None, source: str | None, n: int) -> str:
    where = plural(n, "frame")
    if size_um is None:
        return f"Pixel size unknown in {where}: sizes were judged against the frame's own nuclei, and no area in µm² is given."
    return f"Pixel size {size_um:g} µm in {where}, {source or 'as the files say'}."


def _overlap(session: Session, run_id: int, frames: list[FrameRow]) -> str:
    without = sum(f.stage_x_um is None or f.stage_y_um is None for f in frames)
    twice = int(session.execute(select(func.count()).where(col(Duplicate.run_id) == run_id)).scalar_one())
    found = f"{plural(twice, 'nucleus', 'nuclei')} on two frames, counted once" if twice else "none was found"
    looked = "by the stage positions and by the nuclei themselves"
    if without:
        some = "" if without == len(frames) else f" of {plural(without, 'frame')}"
        looked = "by the nuclei themselves"
        return f"Stage positions{some} unknown: overlap was looked for {looked}; {found}. An overlap of few nuclei can stay unseen."
    return (
        f"Overlap of frames was looked for {looked}; {found}. Frames turned against each other, or of another pixel size, are not compared."
    )


def _allowed_pixels(frames: list[FrameRow]) -> list[str]:
    """Return who allowed equal pixels, and why, without the other patient's name: this patient's page must not show it."""
    why: dict[str, int] = defaultdict(int)
    for frame in frames:
        if frame.same_pixels:
            why[frame.same_pixels.partition("; ")[2]] += 1
    return [f"The pixels of {plural(n, 'frame')} are those of another patient's too; {reason}." for reason, n in why.items()]
