"""Counted slide in a reviewer's view: frames, nuclei, dots and calls, without pixels."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from cacapp.arrays import rle
from cacapp.db.cells.places import Place as Nucleus
from cacapp.db.cells.places import places
from cacapp.db.cells.states import called_cells, dots_of_cells, machine_states
from cacapp.db.engine.session import Session
from cacapp.db.queries import latest_run_ids
from cacapp.db.review.readings import POSITIONS, readings, seen_ids
from cacapp.db.runs.ledger import get_run
from cacapp.db.slides import frame_source, frames_of
from cacapp.fish.review import Dot, State, counts_now
from cacapp.results.reviewed import state_of, valid_in_view, view_of
from cacapp.results.tally import assay_of
from cacapp.types import Array, FrameSource, Instance, label_image
from napari_cacapp.place import Place, chosen, who

AT_ONCE = 500
NEW = -1
"""Number of a signal that is not saved yet."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Signal that counts now. ``number``: that of the detected dot, or -2 - k for the k-th signal added by a person."""

    cell_id: int
    channel: str
    number: int
    y_px: float
    x_px: float
    snr: float = 0.0


@dataclass(slots=True)
class SlideView:
    """Content of the layers, with which changes are compared.

    Attributes:
        token: identifies this view in a layer's metadata.
        nuclei: by cell id, in the order of the labels: the label of a nucleus in its layer is its index here, from 1.
        seen: position to (cell id to the newest review at that time); a decision on a cell with a newer review is refused.
        left_out: detected dots that do not count, by cell.
        shown: cell id to the class, "decided" and reason in its layer when it was last opened or saved.
    """

    place: Place
    reviewer: str
    barcode: str
    run_id: int
    frames: list[FrameSource]
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    nuclei: dict[int, Nucleus]
    frame_of: dict[int, int]
    states: dict[int, State]
    spots: list[Spot]
    left_out: dict[int, list[Dot]]
    position: str
    seen: dict[str, dict[int, int]]
    shown: dict[int, tuple[str, bool, str]] = field(default_factory=dict)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (frames, height, width) of the stack, px, of the largest frame."""
        return len(self.frames), max(f.height_px for f in self.frames), max(f.width_px for f in self.frames)

    def labels(self, index: int) -> Array:
        """Return (Y, X) int32 labels of the nuclei of a frame."""
        numbers = [(n, nucleus) for n, nucleus in enumerate(self.nuclei.values(), 1) if self.frame_of[nucleus.cell_id] == index]
        instances = [_instance(nucleus) for _, nucleus in numbers]
        frame = self.frames[index]
        return label_image(instances, frame.height_px, frame.width_px, [n for n, _ in numbers])

    def cell_at(self, index: int, y_px: float, x_px: float) -> int | None:
        """Return the nucleus at a place of a frame; of several the smallest, as in the labels."""
        under = []
        for nucleus in self.nuclei.values():
            left, top, width, height = nucleus.bbox_xywh
            row, column = round(y_px) - top, round(x_px) - left
            if (
                self.frame_of[nucleus.cell_id] == index
                and 0 <= row < height
                and 0 <= column < width
                and _instance(nucleus).mask[row, column]
            ):
                under.append(nucleus)
        return min(under, key=lambda n: n.area_px).cell_id if under else None


def _instance(nucleus: Nucleus) -> Instance:
    _, _, width, height = nucleus.bbox_xywh
    return Instance(nucleus.bbox_xywh, rle.decode(nucleus.mask, height, width))


def view_slide(place: Place) -> SlideView:
    """Read a slide. Raises CacappError for a database or slide that does not exist or is not counted."""
    reviewer = who(place.reviewer)
    database = place.open()
    try:
        with database.reading() as session:
            return _read(session, place, reviewer)
    finally:
        database.dispose()


def _read(session: Session, place: Place, reviewer: str) -> SlideView:
    slide_id, barcode, run_id = chosen(session, place.slide)
    rows = frames_of(session, slide_id)
    index = {row.id: i for i, row in enumerate(rows)}
    ids = [cell.cell_id for cell in called_cells(session, run_id)]
    found = places(session, ids)
    nuclei = dict(sorted(found.items(), key=lambda item: (index[item[1].frame_id], item[1].label)))
    view = view_of(readings(session, [run_id]).get(run_id, []), reviewer)
    states = machine_states(session, run_id, ids)
    states |= {cell_id: state_of(review) for cell_id, review in valid_in_view(session, run_id, view).items() if cell_id in states}
    spots, left_out = _spots(dots_of_cells(session, run_id, ids), states)
    seen = {position: {} for position in POSITIONS}
    for start in range(0, len(ids), AT_ONCE):
        for position in POSITIONS:
            seen[position] |= seen_ids(session, run_id, position, ids[start : start + AT_ONCE])
    assay = assay_of(get_run(session, run_id))
    assert latest_run_ids(session, "count", [slide_id])[slide_id] == run_id
    return SlideView(
        place=place,
        reviewer=reviewer,
        barcode=barcode,
        run_id=run_id,
        frames=[frame_source(session, row) for row in rows],
        channels=tuple(assay.channels),
        classes=tuple(assay.class_names),
        nuclei=nuclei,
        frame_of={cell_id: index[nucleus.frame_id] for cell_id, nucleus in nuclei.items()},
        states=states,
        spots=spots,
        left_out=left_out,
        shown={cell_id: (s.label, s.decided, s.exclusion_reason or "") for cell_id, s in states.items()},
        position=view.own or "first",
        seen=seen,
    )


def _spots(dots: dict[int, list[Dot]], states: dict[int, State]) -> tuple[list[Spot], dict[int, list[Dot]]]:
    spots, left_out = [], defaultdict(list)
    for cell_id, own in dots.items():
        state = states[cell_id]
        for dot in own:
            if counts_now(state, dot):
                spots.append(Spot(cell_id, dot.channel, dot.number, dot.y_px, dot.x_px, dot.snr))
            else:
                left_out[cell_id].append(dot)
        spots += [Spot(cell_id, a.channel, -2 - k, a.y_px, a.x_px) for k, a in enumerate(state.added) if a.number is None]
    return spots, dict(left_out)


def pixels(source: FrameSource, channel: str, shape_yx: tuple[int, int]) -> Array:
    """Read the (Y, X) pixels of a channel, padded with 0 to ``shape_yx``."""
    from cacapp.frames import open_frame

    plane = open_frame(source).channel(channel)
    height, width = plane.shape
    return np.pad(plane, ((0, shape_yx[0] - height), (0, shape_yx[1] - width)))
