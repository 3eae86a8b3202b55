"""The review server's shared state: database, picture caches and indexes of finished runs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request
from sqlalchemy import select
from sqlmodel import Session, col

from cacapp.db.cells.places import Place, places
from cacapp.db.cells.states import CalledCell, called_cells, machine_states
from cacapp.db.engine.session import Database
from cacapp.db.queries import latest_run_ids
from cacapp.db.review.readings import last_review_id, readings
from cacapp.db.runs.ledger import SUCCEEDED
from cacapp.db.tables import Cell, FrameRow, Patient, PatientResult, Run, Slide
from cacapp.fish.assay.model import Assay
from cacapp.fish.calls import UNCERTAIN
from cacapp.fish.review import State
from cacapp.results.reviewed import Reviewed, Tallies, View, review_patient, state_of, valid_in_view, view_of
from cacapp.results.tally import assay_of
from cacapp.review.authorisation import Visitor
from cacapp.review.blind import Looks
from cacapp.review.cell_cache import CellCache
from cacapp.review.crops import Crops
from cacapp.review.later import Later
from cacapp.review.not_found import NotFound
from cacapp.review.pixels import Pixels
from cacapp.review.settings import Settings
from cacapp.review.shown_cell import ShownCell, in_channel_order
from cacapp.review.signatures import SignatureChecks
from cacapp.review.tiles import Tiles

MAX_INDEXES, MAX_RESULTS = 24, 2000
"""Count runs and patient results in memory."""

GROUPS = ("flagged", "open", "decided", "all", "not-evaluable")


@dataclass(frozen=True, slots=True)
class RunIndex:
    """The cells of a count run before review, in the order of review: CAC candidates, uncertain cells, then the others, each by margin."""

    run: Run
    assay: Assay
    ordered: tuple[CalledCell, ...]
    by_id: dict[int, CalledCell]
    by_frame: dict[int, list[CalledCell]]
    position: dict[int, int]
    """Cell id to its position in ``ordered``."""
    groups: dict[str, tuple[int, ...]]
    """Group to its cell ids in order."""


@dataclass(frozen=True, slots=True)
class SlideView:
    """The latest count of a slide as one person may see it.

    Attributes:
        access: the reviews that this person may read, and those that are valid for them.
        states: cell id to the state after the valid review; cells without review are left out.
        reviewers: cell id to the reviewer of the valid review.
    """

    slide: Slide
    patient: Patient
    index: RunIndex
    access: View
    states: dict[int, State]
    reviewers: dict[int, str]

    def cell_ids(self, group: str) -> list[int]:
        """Return the cell ids of a group in order; ``group`` is one of GROUPS or a class after review."""
        before = self.index.groups.get(group, ())
        reviewed = [(self.index.by_id[c], state) for c, state in self.states.items() if c in self.index.by_id]
        added = {cell.cell_id for cell, state in reviewed if _belongs(cell, state, group) and not _belongs(cell, None, group)}
        removed = {cell.cell_id for cell, state in reviewed if not _belongs(cell, state, group) and _belongs(cell, None, group)}
        remaining = [c for c in before if c not in removed] if removed else list(before)
        return sorted((*remaining, *added), key=self.index.position.__getitem__) if added else remaining

    def group_sizes(self) -> dict[str, int]:
        """Return the number of cells of each group: GROUPS, then the assay's classes; empty ones are left out but the first three."""
        sizes = {name: len(ids) for name, ids in self.index.groups.items()}
        for cell_id, state in self.states.items():
            cell = self.index.by_id.get(cell_id)
            if cell is not None:
                for name in sizes:
                    sizes[name] += _belongs(cell, state, name) - _belongs(cell, None, name)
        return {name: n for name, n in sizes.items() if n or name in GROUPS[:3]}

    def decided(self, cell_id: int) -> bool:
        """Return whether a person has decided on the cell."""
        return cell_id in self.states and self.states[cell_id].decided

    def shown(self, place: Place, machine: State) -> ShownCell:
        """Return a cell of the count with its state after review. ``machine``: the software's call."""
        cell_id, channels = place.cell_id, self.index.assay.channels
        state = in_channel_order(self.states.get(cell_id, machine), channels)
        by = self.reviewers.get(cell_id) if state.decided else None
        called = self.index.by_id[cell_id]
        return ShownCell(place, in_channel_order(machine, channels), state, called.margin, called.p_cac, called.p_terms, by)

    def read_cells(self, session: Session, cell_ids: Sequence[int]) -> list[ShownCell]:
        """Read cells in the given order, without pictures. Raises NotFound for a cell that the count did not call."""
        if missing := [c for c in cell_ids if c not in self.index.by_id]:
            raise NotFound(f"cell {missing[0]} is not part of the slide's latest count")
        machine, found = machine_states(session, self.index.run.id, cell_ids), places(session, cell_ids)
        return [self.shown(found[c], machine[c]) for c in cell_ids]


def _belongs(cell: CalledCell, state: State | None, group: str) -> bool:
    """Return whether a cell is in a group; ``state`` None: before review."""
    decided = state is not None and state.decided
    if group == "all":
        return True
    if group == "flagged":
        return cell.flagged
    if group == "open":
        return cell.flagged and not decided
    if group == "decided":
        return decided
    evaluable = cell.evaluable if state is None else state.evaluable
    if group == "not-evaluable":
        return not evaluable
    return evaluable and (cell.class_ if state is None else state.class_) == group


class ReviewContext:
    """Database, pictures and caches of a review server; one per server. Safe to use from many threads."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.db = db
        self.settings = settings
        self.pixels = Pixels(db, settings.cache)
        self.crops = Crops(db, self.pixels, settings.cache)
        self.tiles = Tiles(self.pixels)
        self.cell_cache = CellCache(self.crops)
        self.tallies: Tallies = {}
        self.later = Later(db)
        self.looks = Looks(self.later)
        self.signatures = SignatureChecks()
        self._indexes: OrderedDict[int, RunIndex] = OrderedDict()
        self._finished_at: dict[int, datetime | None] = {}
        self._results: OrderedDict[object, Reviewed] = OrderedDict()
        self._lock = threading.Lock()

    def index(self, session: Session, run_id: int) -> RunIndex:
        """Return the index of a finished count run."""
        self._drop_outdated(session, [run_id])
        with self._lock:
            if (known := self._indexes.get(run_id)) is not None:
                self._indexes.move_to_end(run_id)
                return known
        run = session.get_one(Run, run_id)
        cells = called_cells(session, run_id)
        by_frame: dict[int, list[CalledCell]] = {}
        for cell in cells:
            by_frame.setdefault(cell.frame_id, []).append(cell)
        assay = assay_of(run)
        names = [*GROUPS, *(n for n in dict.fromkeys((*assay.class_names, UNCERTAIN)) if n not in GROUPS)]
        ordered = tuple(sorted(cells, key=_review_order))
        made = RunIndex(
            run,
            assay,
            ordered,
            {c.cell_id: c for c in cells},
            by_frame,
            {c.cell_id: position for position, c in enumerate(ordered)},
            {name: tuple(c.cell_id for c in ordered if _belongs(c, None, name)) for name in names},
        )
        with self._lock:
            self._indexes[run_id] = made
            while len(self._indexes) > MAX_INDEXES:
                self._indexes.popitem(last=False)
        return made

    def _drop_outdated(self, session: Session, run_ids: Sequence[int]) -> tuple[datetime | None, ...]:
        """Return when the runs finished; drop what is cached of a run that finished again after a retry of its failed frames."""
        rows = session.execute(select(col(Run.id), col(Run.finished_at)).where(col(Run.id).in_(run_ids)))
        finished = {run_id: at for run_id, at in rows if run_id is not None}
        with self._lock:
            for run_id, at in finished.items():
                if self._finished_at.get(run_id, at) != at:
                    self._indexes.pop(run_id, None)
                    self.tallies.pop(run_id, None)
                self._finished_at[run_id] = at
        return tuple(finished.get(run_id) for run_id in run_ids)

    def latest_index(self, session: Session, slide_id: int) -> RunIndex:
        """Return the index of the slide's latest count. Raises NotFound without a count."""
        run_id = latest_run_ids(session, "count", [slide_id]).get(slide_id)
        if run_id is None:
            raise NotFound("this slide is not counted yet")
        return self.index(session, run_id)

    def index_of_slide(self, session: Session, slide_id: int, run_id: int) -> RunIndex:
        """Return the index of a finished count run of the slide, the latest or an earlier one. Raises NotFound for any other run."""
        run = session.get(Run, run_id)
        if run is None or run.slide_id != slide_id or run.step != "count" or run.status not in SUCCEEDED:
            raise NotFound("this slide has no such count")
        return self.index(session, run_id)

    def reviewed(self, session: Session, result: PatientResult, viewer: str | None) -> Reviewed:
        """Return a patient's result before and after review; computed again only after a new review or reading.

        ``viewer`` None: by the reviews that hold.
        """
        own = readings(session, result.count_run_ids)
        views = tuple(view_of(own.get(run_id, []), viewer) for run_id in result.count_run_ids)
        finished = self._drop_outdated(session, result.count_run_ids)
        newest = last_review_id(session, result.count_run_ids)
        key = (result.patient_id, result.run_id, tuple(result.count_run_ids), finished, views, newest)
        with self._lock:
            if (known := self._results.get(key)) is not None:
                self._results.move_to_end(key)
                return known
        made = review_patient(session, result, viewer, self.tallies)
        with self._lock:
            self._results[key] = made
            while len(self._results) > MAX_RESULTS:
                self._results.popitem(last=False)
        return made

    def slide_view(self, session: Session, slide_id: int, visitor: Visitor) -> SlideView:
        """Return a slide as the visitor may see it, and record that. Raises NotFound for an unknown slide, or one without a count."""
        slide = session.get(Slide, slide_id)
        if slide is None:
            raise NotFound("there is no such slide")
        run_id = latest_run_ids(session, "count", [slide_id]).get(slide_id)
        if run_id is None:
            raise NotFound(f"slide {slide.barcode} is not counted yet")
        self.looks.note(session, [slide_id], visitor)
        access = view_of(readings(session, [run_id]).get(run_id, []), visitor.name)
        valid = valid_in_view(session, run_id, access)
        patient = session.get_one(Patient, slide.patient_id)
        states = {c: state_of(review) for c, review in valid.items()}
        return SlideView(slide, patient, self.index(session, run_id), access, states, {c: r.reviewer for c, r in valid.items()})


def context_of(request: Request) -> ReviewContext:
    """Return the context of the server that answers the request."""
    context: ReviewContext = request.app.state.context
    return context


def class_keys(names: Sequence[str]) -> dict[str, str]:
    """Return the key of each class, as {key: class}: the first letter of its name that is free."""
    keys: dict[str, str] = {}
    for name in names:
        key = next((letter for letter in name if letter.isalpha() and letter not in {*keys, *RESERVED_KEYS}), None)
        if key is not None:
            keys[key] = name
    return keys


RESERVED_KEYS = ("x", "u", "a", "m", "j", "k", "f", "b")
"""Keys of the cell page with another meaning: reject, undo, add, merge, next, previous, frame, back."""


def _review_order(cell: CalledCell) -> tuple[int, float, int]:
    if not cell.evaluable:
        rank = 4
    elif cell.is_cac:
        rank = 0
    elif cell.needs_review:
        rank = 1
    else:
        rank = 3 if cell.class_ == "normal" else 2
    return rank, float("inf") if cell.margin is None else cell.margin, cell.cell_id


def slide_of_cell(session: Session, cell_id: int) -> int:
    """Return the id of the cell's slide. Raises NotFound for an unknown cell."""
    query = select(col(FrameRow.slide_id)).join(Cell, col(Cell.frame_id) == col(FrameRow.id)).where(col(Cell.id) == cell_id)
    found: int | None = session.execute(query).scalar_one_or_none()
    if found is None:
        raise NotFound("there is no such cell")
    return found
