"""Nuclei that overlapping frames of a slide show twice are counted once."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from sqlalchemy import select
from sqlmodel import Session, col

from cacapp.db.cells.quality import write_duplicates
from cacapp.db.queries import frames_of_runs
from cacapp.db.tables import FrameRow, Table
from cacapp.fish.duplicates import View, duplicates
from cacapp.fish.evaluability import DUPLICATE

CALL, CELL = Table.metadata.tables["cell_call"], Table.metadata.tables["cell"]


def mark_duplicates(session: Session, run_id: int) -> int:
    """Mark the duplicates among the cells of a finished count run and take back their calls; return how many there are.

    Overlap without nuclei that agree is no overlap.
    """
    frames = session.execute(select(FrameRow).where(col(FrameRow.id).in_(frames_of_runs([run_id])))).scalars()
    known = {f.id: f for f in frames}
    if len(known) < 2:
        return 0
    query = (
        select(CELL.c.frame_id, CELL.c.id, CELL.c.centroid_y_px, CELL.c.centroid_x_px, CELL.c.area_px, CALL.c.evaluable)
        .join(CALL, CALL.c.cell_id == CELL.c.id)
        .where(CALL.c.run_id == run_id, CELL.c.frame_id.in_(known))
        .order_by(CELL.c.id)
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
