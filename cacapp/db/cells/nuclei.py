"""Cells: the nuclei that a segmentation run found in a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from cacapp.arrays import rle
from cacapp.db.engine.bulk import insert_columns, reserve_ids
from cacapp.db.tables import Cell, Verdict
from cacapp.exceptions import CacappError
from cacapp.types import Array, Instance, Shapes


@dataclass(frozen=True, slots=True)
class CellRecord:
    """A stored nucleus with its mask decoded. Lengths in px; shape features with the table's precision (px / 100, ratios / 10,000)."""

    id: int
    label: int
    instance: Instance
    centroid_yx: tuple[float, float]
    area_px: int
    length_px: float
    width_px: float
    roundness: float
    solidity: float
    focus: float | None
    evaluable: bool
    exclusion_reason: str | None


def write_cells(
    session: Session,
    run_id: int,
    frame_id: int,
    instances: Sequence[Instance],
    shapes: Shapes,
    centroids_yx: Array,
    focus: Array | None = None,
    reasons: Sequence[str | None] | None = None,
    verdicts: Mapping[str, Sequence[str | None]] | None = None,
) -> list[int]:
    """Write the N cells of a frame, in place of those a previous attempt of the run left.

    Args:
        instances: N; they get the labels 1..N in this order.
        shapes: of the N instances.
        centroids_yx: (N, 2) px, in the frame's coordinates.
        focus: (N,) sharpness of each nucleus, or None.
        reasons: N; why a cell is not evaluable, None where it is.
        verdicts: by filter name, N reasons to reject, None to accept. Every filter's verdicts are kept.

    Returns:
        The N cell ids, in order.

    Raises:
        CacappError: the frame's cells are counted or reviewed already and stay.
        ValueError: an argument of another length than ``instances``.
    """
    delete_cells(session, run_id, frame_id)
    size = len(instances)
    reasons = [None] * size if reasons is None else reasons
    ids = reserve_ids(session, Cell, size)
    boxes = np.array([instance.bbox_xywh for instance in instances], np.int64).reshape(size, 4)
    centroids_yx = np.asarray(centroids_yx).reshape(-1, 2)
    insert_columns(
        session,
        Cell,
        size,
        {
            "id": ids,
            "run_id": run_id,
            "frame_id": frame_id,
            "label": np.arange(1, size + 1),
            "bbox_x_px": boxes[:, 0],
            "bbox_y_px": boxes[:, 1],
            "bbox_w_px": boxes[:, 2],
            "bbox_h_px": boxes[:, 3],
            "centroid_y_px": centroids_yx[:, 0],
            "centroid_x_px": centroids_yx[:, 1],
            "area_px": np.rint(shapes.area_px).astype(np.int64),
            "length_px": shapes.length_px,
            "width_px": shapes.width_px,
            "roundness": shapes.roundness,
            "solidity": shapes.solidity,
            "score": np.array([instance.score for instance in instances], np.float64),
            "focus": focus,
            "mask": [rle.encode(instance.mask) for instance in instances],
            "evaluable": [reason is None for reason in reasons],
            "exclusion_reason": reasons,
        },
    )
    for name, judged in (verdicts or {}).items():
        rejected = [(cell_id, reason) for cell_id, reason in zip(ids, judged, strict=True) if reason is not None]
        columns = {"cell_id": [i for i, _ in rejected], "filter": name, "reason": [reason for _, reason in rejected]}
        insert_columns(session, Verdict, len(rejected), columns)
    return ids


def delete_cells(session: Session, run_id: int, frame_id: int) -> None:
    """Delete a frame's cells and verdicts of a run.

    Raises:
        CacappError: a count, a call or a review refers to them.
    """
    here = (col(Cell.run_id) == run_id, col(Cell.frame_id) == frame_id)
    connection = session.connection()
    if connection.execute(select(col(Cell.id)).where(*here).limit(1)).first() is None:
        return
    try:
        connection.execute(delete(Verdict).where(col(Verdict.cell_id).in_(select(col(Cell.id)).where(*here))))
        connection.execute(delete(Cell).where(*here))
    except IntegrityError as error:
        raise CacappError(
            f"run {run_id}: the cells of frame {frame_id} are counted or reviewed already; segment again with --force"
        ) from error


def read_cells(session: Session, run_id: int, frame_id: int) -> list[CellRecord]:
    """Read a frame's cells of a segmentation run by label, with their masks decoded.

    Raises:
        CacappError: a mask is damaged.
    """
    query = select(Cell).where(col(Cell.run_id) == run_id, col(Cell.frame_id) == frame_id).order_by(col(Cell.label))
    rows = session.connection().execute(query).all()
    masks = rle.decode_all([row.mask for row in rows], [(row.bbox_h_px, row.bbox_w_px) for row in rows])
    return [
        CellRecord(
            id=row.id,
            label=row.label,
            instance=Instance(
                (row.bbox_x_px, row.bbox_y_px, row.bbox_w_px, row.bbox_h_px),
                mask,
                row.score,
            ),
            centroid_yx=(row.centroid_y_px, row.centroid_x_px),
            area_px=row.area_px,
            length_px=row.length_px,
            width_px=row.width_px,
            roundness=row.roundness,
            solidity=row.solidity,
            focus=row.focus,
            evaluable=row.evaluable,
            exclusion_reason=row.exclusion_reason,
        )
        for row, mask in zip(rows, masks, strict=True)
    ]


def read_verdicts(session: Session, cell_id: int) -> dict[str, str]:
    """Read the filters that rejected a cell, with their reasons."""
    rows = session.connection().execute(select(col(Verdict.filter), col(Verdict.reason)).where(col(Verdict.cell_id) == cell_id))
    return {row.filter: row.reason for row in rows}
