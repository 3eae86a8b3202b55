"""Duplicates: nuclei that overlapping frames of a slide show twice, which are counted once."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from sqlalchemy import select
from sqlmodel import Session, col

from cacapp.db.cells.quality import write_duplicates
from cacapp.db.queries import frames_of_runs
from cacapp.db.tables import Cell, CellCall, FrameRow
from cacapp.fish.duplicates import View, duplicates
from cacapp.fish.evaluability import DUPLICATE


def mark_duplicates(session: Session, run_id: int) -> int:
    """Find the duplicates among the cells of a finished count run and make them not evaluable; return how many there are.

    Overlap without nuclei that agree is no overlap.
    """
    frames = session.execute(select(FrameRow).where(col(FrameRow.id).in_(frames_of_runs([run_id])))).scalars()
    known = {f.id: f for f in frames}
    if len(known) < 2:
        return 0
    query = (
        select(
            col(Cell.frame_id), col(Cell.id), col(Cell.centroid_y_px), col(Cell.centroid_x_px), col(Cell.area_px), col(CellCall.evaluable)
        )
        .join(CellCall, col(CellCall.cell_id) == col(Cell.id))
        .where(col(CellCall.run_id) == run_id, col(Cell.frame_id).in_(known))
        .order_by(col(Cell.id))
    )
    cells = defaultdict(list)
    for frame_id, *cell in session.connection().execute(query):
        cells[frame_id].append(cell)
    views = [_view(known[frame_id], own) for frame_id, own in cells.items()]
    found = duplicates(views)
    write_duplicates(session, run_id, found, DUPLICATE)
    return len(found)


def _view(frame: FrameRow, cells: list[list[float]]) -> View:
    table = np.array([cell[:4] for cell in cells], float)
    y_um, x_um = frame.stage_y_um, frame.stage_x_um
    return View(
        stage_yx_um=None if y_um is None or x_um is None else (y_um, x_um),
        shape_px=(frame.height_px, frame.width_px),
        pixel_size_um=frame.pixel_size_um,
        ids=[int(cell[0]) for cell in cells],
        yx_px=table[:, 1:3],
        area_px=table[:, 3],
        evaluable=np.array([bool(cell[4]) for cell in cells]),
    )
