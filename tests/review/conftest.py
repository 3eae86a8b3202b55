"""A counted slide to review."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlmodel import select

from cacapp.db.cell_states import Called, called_cells
from cacapp.db.queries import latest_run_ids
from cacapp.db.session import Database, open_database
from cacapp.db.tables import Patient, Slide
from cacapp.steps.review import Action, Outcome, decide


@dataclass
class Record:
    """A record with one patient and one counted slide."""

    db: Database
    url: str
    patient_id: int
    slide_id: int
    run_id: int
    cells: list[Called]

    def flagged(self) -> list[Called]:
        return [c for c in self.cells if c.flagged]

    def of_class(self, name: str) -> Called:
        return next(c for c in self.cells if c.class_ == name)

    def decide(self, who: str, cell_id: int, kind: str, seen: int = 0, key: str | None = None, **more: object) -> Outcome:
        return decide(self.db, who, cell_id, Action(kind, **more), run_id=self.run_id, seen=seen, key=key)  # type: ignore[arg-type]


def opened(url: str) -> Record:
    """The record behind a path or URL, with its one patient and slide."""
    db = open_database(url)
    with db.reading() as session:
        patient, slide = session.exec(select(Patient)).one(), session.exec(select(Slide)).one()
        assert patient.id is not None
        assert slide.id is not None
        run_id = latest_run_ids(session, "count", [slide.id])[slide.id]
        return Record(db, url, patient.id, slide.id, run_id, called_cells(session, run_id))


@pytest.fixture
def record(counted: object, record_url: str) -> Iterator[Record]:
    """A record of this test alone, on SQLite and on PostgreSQL."""
    found = opened(record_url)
    yield found
    found.db.dispose()
