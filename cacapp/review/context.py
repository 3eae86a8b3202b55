"""What all pages work on: the record, the pictures, and what is remembered of finished runs, which never change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from cacapp.db.cells.states import CELL, Called, called_cells
from cacapp.db.engine.session import Database
from cacapp.db.queries import latest_run_ids
from cacapp.db.review.readings import last_review_id, readings
from cacapp.db.runs.ledger import SUCCEEDED
from cacapp.db.tables import FrameRow, Patient, PatientResult, Run, Slide
from cacapp.fish.assay.model import Assay
from cacapp.fish.calls import UNCERTAIN
from cacapp.fish.review import State
from cacapp.results.reviewed import Reviewed, Totals, View, assay_of, review_patient, standing, state_of, view_of
from cacapp.review.cell_cache import Portraits
from cacapp.review.crops import Crops
from cacapp.review.not_found import NotFound
from cacapp.review.pixels import Pixels
from cacapp.review.settings import Settings
from cacapp.review.tiles import Tiles

RUNS_KEPT, RESULTS_KEPT = 24, 2000
GROUPS = ("flagged", "open", "decided", "all", "not-evaluable")


@dataclass(frozen=True, slots=True)
class RunIndex:
    """A count run's cells as its machine called them: CAC candidates first, then uncertain ones, each by margin; then the others."""

    run: Run
    assay: Assay
    ordered: tuple[Called, ...]
    by_id: dict[int, Called]
    by_frame: dict[int, list[Called]]
    position: dict[int, int]
    """Cell id to its place in ``ordered``."""
    groups: dict[str, tuple[int, ...]]
    """Cell ids by group, in order, before anyone reviewed: what a page adds its reviews to."""


@dataclass(frozen=True, slots=True)
class Tray:
    """A slide's cells before one person's eyes: the latest count, what they may see of its reviews, and what holds there."""

    slide: Slide
    patient: Patient
    index: RunIndex
    view: View
    now: dict[int, State]
    by: dict[int, str]

    def ids(self, group: str) -> list[int]:
        """Cell ids of a group in order: one of GROUPS, or a class as it stands after review."""
        before = self.index.groups.get(group, ())
        known = [(self.index.by_id[c], state) for c, state in self.now.items() if c in self.index.by_id]
        came = {cell.cell_id for cell, state in known if _belongs(cell, state, group) and not _belongs(cell, None, group)}
        went = {cell.cell_id for cell, state in known if not _belongs(cell, state, group) and _belongs(cell, None, group)}
        stayed = [c for c in before if c not in went] if went else list(before)
        return sorted((*stayed, *came), key=self.index.position.__getitem__) if came else stayed

    def sizes(self) -> dict[str, int]:
        """Group to its number of cells; classes of the assay after GROUPS, those without cells left out."""
        sizes = {name: len(ids) for name, ids in self.index.groups.items()}
        for cell_id, state in self.now.items():
            cell = self.index.by_id.get(cell_id)
            if cell is not None:
                for name in sizes:
                    sizes[name] += _belongs(cell, state, name) - _belongs(cell, None, name)
        return {name: n for name, n in sizes.items() if n or name in GROUPS[:3]}


def _belongs(cell: Called, state: State | None, group: str) -> bool:
    """Whether a cell is in a group; ``state`` None: as the software left it."""
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


class Desk:
    """Made once for a server."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.db = db
        self.settings = settings
        self.pixels = Pixels(db, settings.cache)
        self.crops = Crops(db, self.pixels, settings.cache)
        self.tiles = Tiles(self.pixels)
        self.portraits = Portraits(self.crops)
        self.totals: Totals = {}
        self._indexes: OrderedDict[int, RunIndex] = OrderedDict()
        self._ended: dict[int, datetime | None] = {}
        self._results: OrderedDict[object, Reviewed] = OrderedDict()
        self._lock = threading.Lock()

    def index(self, session: Session, run_id: int) -> RunIndex:
        """A finished count run's cells in order."""
        self._finished(session, [run_id])
        with self._lock:
            if (known := self._indexes.get(run_id)) is not None:
                self._indexes.move_to_end(run_id)
                return known
        run = session.get_one(Run, run_id)
        cells = called_cells(session, run_id)
        by_frame: dict[int, list[Called]] = {}
        for cell in cells:
            by_frame.setdefault(cell.frame_id, []).append(cell)
        assay = assay_of(run)
        names = [*GROUPS, *(n for n in dict.fromkeys((*assay.class_names, UNCERTAIN)) if n not in GROUPS)]
        ordered = tuple(sorted(cells, key=_urgency))
        made = RunIndex(
            run,
            assay,
            ordered,
            {c.cell_id: c for c in cells},
            by_frame,
            {c.cell_id: place for place, c in enumerate(ordered)},
            {name: tuple(c.cell_id for c in ordered if _belongs(c, None, name)) for name in names},
        )
        with self._lock:
            self._indexes[run_id] = made
            while len(self._indexes) > RUNS_KEPT:
                self._indexes.popitem(last=False)
        return made

    def _finished(self, session: Session, run_ids: Sequence[int]) -> tuple[datetime | None, ...]:
        """When runs ended. One that ended anew, since frames that had failed were tried again, is looked up anew."""
        rows = session.execute(select(col(Run.id), col(Run.finished_at)).where(col(Run.id).in_(run_ids)))
        ended = {run_id: at for run_id, at in rows if run_id is not None}
        with self._lock:
            for run_id, at in ended.items():
                if self._ended.get(run_id, at) != at:
                    self._indexes.pop(run_id, None)
                    self.totals.pop(run_id, None)
                self._ended[run_id] = at
        return tuple(ended.get(run_id) for run_id in run_ids)

    def latest(self, session: Session, slide_id: int) -> RunIndex:
        """The slide's latest count. Raises NotFound where there is none."""
        run_id = latest_run_ids(session, "count", [slide_id]).get(slide_id)
        if run_id is None:
            raise NotFound("this slide is not counted yet")
        return self.index(session, run_id)

    def counted(self, session: Session, slide_id: int, run_id: int) -> RunIndex:
        """A count of the slide, the latest or an earlier one. Raises NotFound where it has no such count."""
        run = session.get(Run, run_id)
        if run is None or run.slide_id != slide_id or run.step != "count" or run.status not in SUCCEEDED:
            raise NotFound("this slide has no such count")
        return self.index(session, run_id)

    def reviewed(self, session: Session, result: PatientResult, viewer: str) -> Reviewed:
        """A patient's result before and after review; reckoned anew only where a review or a reading came to it."""
        own = readings(session, result.count_run_ids)
        views = tuple(view_of(own.get(run_id, []), viewer) for run_id in result.count_run_ids)
        ended = self._finished(session, result.count_run_ids)
        key = (result.patient_id, result.run_id, tuple(result.count_run_ids), ended, views, last_review_id(session, result.count_run_ids))
        with self._lock:
            if (known := self._results.get(key)) is not None:
                self._results.move_to_end(key)
                return known
        made = review_patient(session, result, viewer, self.totals)
        with self._lock:
            self._results[key] = made
            while len(self._results) > RESULTS_KEPT:
                self._results.popitem(last=False)
        return made

    def tray(self, session: Session, slide_id: int, viewer: str) -> Tray:
        """A slide for a person. Raises NotFound where there is no such slide, or nothing is counted on it."""
        slide = session.get(Slide, slide_id)
        if slide is None:
            raise NotFound("there is no such slide")
        run_id = latest_run_ids(session, "count", [slide_id]).get(slide_id)
        if run_id is None:
            raise NotFound(f"slide {slide.barcode} is not counted yet")
        view = view_of(readings(session, [run_id]).get(run_id, []), viewer)
        holds = standing(session, run_id, view)
        patient = session.get_one(Patient, slide.patient_id)
        states = {c: state_of(r) for c, r in holds.items()}
        return Tray(slide, patient, self.index(session, run_id), view, states, {c: r.reviewer for c, r in holds.items()})


def class_keys(names: Sequence[str]) -> dict[str, str]:
    """Key to class: the first letter of its name that is free."""
    taken: dict[str, str] = {}
    for name in names:
        key = next((letter for letter in name if letter.isalpha() and letter not in {*taken, *RESERVED}), None)
        if key is not None:
            taken[key] = name
    return taken


RESERVED = ("x", "u", "a", "m", "j", "k", "f", "b")
"""Keys of the cell page that are no class's: reject, undo, add, merge, next, previous, frame, back."""


def _urgency(cell: Called) -> tuple[int, float, int]:
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
    """The slide a cell lies on. Raises NotFound where there is no such cell."""
    query = select(col(FrameRow.slide_id)).join(CELL, CELL.c.frame_id == col(FrameRow.id)).where(CELL.c.id == cell_id)
    found: int | None = session.execute(query).scalar_one_or_none()
    if found is None:
        raise NotFound("there is no such cell")
    return found
