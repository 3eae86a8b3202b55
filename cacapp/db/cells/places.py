"""Places of nuclei: boxes and encoded masks, since a slide has too many masks to decode them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlmodel import Session, col

from cacapp.arrays import rle
from cacapp.db.tables import Cell
from cacapp.types import Instance

AT_ONCE = 500
"""Cells that a statement names: databases limit the number of parameters."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stored nucleus: box and centre in px of its frame, and the compressed mask of the box (see cacapp.arrays.rle)."""

    cell_id: int
    frame_id: int
    label: int
    bbox_xywh: tuple[int, int, int, int]
    mask: bytes
    y_px: float
    x_px: float
    area_px: int


def places(session: Session, cell_ids: Sequence[int]) -> dict[int, Place]:
    """Return cell id to place; unknown cells are left out."""
    return {place.cell_id: place for some in chunks(cell_ids) for place in _read(session, col(Cell.id).in_(some))}


def places_in_frame(session: Session, run_id: int, frame_id: int) -> list[Place]:
    """Return a frame's nuclei of a segmentation run, by label."""
    return _read(session, col(Cell.frame_id) == frame_id, col(Cell.run_id) == run_id)


def places_near(session: Session, run_id: int, frame_id: int, window: tuple[int, int, int, int]) -> list[Place]:
    """Return the nuclei of a segmentation run whose boxes meet the window (left, top, width, height) of a frame, by label."""
    left, top, width, height = window
    return _read(
        session,
        col(Cell.run_id) == run_id,
        col(Cell.frame_id) == frame_id,
        col(Cell.bbox_x_px) < left + width,
        col(Cell.bbox_x_px) + col(Cell.bbox_w_px) > left,
        col(Cell.bbox_y_px) < top + height,
        col(Cell.bbox_y_px) + col(Cell.bbox_h_px) > top,
    )


def instances_of(found: Sequence[Place]) -> tuple[Instance, ...]:
    """Decode the masks. Raises CacappError for a damaged one."""
    masks = rle.decode_all([place.mask for place in found], [(height, width) for _, _, width, height in (p.bbox_xywh for p in found)])
    return tuple(Instance(place.bbox_xywh, mask) for place, mask in zip(found, masks, strict=True))


def chunks(cell_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Split cell ids into parts that a statement can name."""
    for start in range(0, len(cell_ids), AT_ONCE):
        yield cell_ids[start : start + AT_ONCE]


def _read(session: Session, *conditions: ColumnElement[bool]) -> list[Place]:
    rows = session.connection().execute(select(Cell).where(*conditions).order_by(col(Cell.label)))
    return [
        Place(
            cell_id=row.id,
            frame_id=row.frame_id,
            label=row.label,
            bbox_xywh=(row.bbox_x_px, row.bbox_y_px, row.bbox_w_px, row.bbox_h_px),
            mask=row.mask,
            y_px=row.centroid_y_px,
            x_px=row.centroid_x_px,
            area_px=row.area_px,
        )
        for row in rows
    ]
