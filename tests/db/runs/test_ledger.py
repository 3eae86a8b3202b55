"""Runs and the ledger that resume reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from cacapp.db import slides
from cacapp.db.engine.session import Database
from cacapp.db.queries import latest_run, run_details
from cacapp.db.runs import ledger as runs
from cacapp.exceptions import CacappError
from cacapp.types import FrameSource


@pytest.fixture
def slide_id(database: Database, make_source: Callable[..., FrameSource]) -> int:
    """A slide with frames f1, f2, f3."""
    with database.session() as session:
        slide = slides.register_slide(session, "P1", "S1")
        for name in ("f3", "f1", "f2"):
            slides.add_frame(session, slide, make_source(name, name))
        assert slide.id is not None
        return slide.id


def test_a_fingerprint_is_the_digest_of_canonical_json() -> None:
    assert (
        runs.fingerprint(b=[1, "µ"], a={"y": None, "x": 0.1}) == hashlib.sha256('{"a":{"x":0.1,"y":null},"b":[1,"µ"]}'.encode()).hexdigest()
    )
    assert runs.fingerprint(a=1, b=2) == runs.fingerprint(b=2, a=1) != runs.fingerprint(a=2, b=1)


def test_values_without_a_unique_json_form_have_no_fingerprint() -> None:
    with pytest.raises(ValueError, match="JSON"):
        runs.fingerprint(a=float("nan"))
    with pytest.raises(TypeError):
        runs.fingerprint(a={1, 2})


def test_a_new_run_has_every_frame_pending_and_resumes_where_it_was(database: Database, slide_id: int) -> None:
    with database.session() as session:
        run = runs.start_run(session, step="segment", slide_id=slide_id, fingerprint="x", app_version="1", params={"sigma_um": 0.1})
        run_id = run.id
        frames = runs.frames_in_state(session, run_id, "pending")
        assert [frame.name for frame in frames] == ["f1", "f2", "f3"]
        runs.record_frame(session, run_id, frames[0].id or 0, "done", seconds=2.5, details={"threshold": 7})
        runs.record_frame(session, run_id, frames[1].id or 0, "quarantined", attempts=2, error="truncated")
    with database.reading() as session:
        assert [frame.name for frame in runs.frames_in_state(session, run_id, "pending")] == ["f3"]
        assert [frame.name for frame in runs.frames_in_state(session, run_id, "failed", "quarantined")] == ["f2"]
        summary, lines = run_details(session, run_id)
        assert (summary.slide, summary.patient, summary.frames) == ("S1", "P1", {"done": 1, "quarantined": 1, "pending": 1})
        assert [(line.frame, line.state.status, line.state.attempts, line.state.error) for line in lines] == [
            ("f1", "done", 1, None),
            ("f2", "quarantined", 2, "truncated"),
            ("f3", "pending", 0, None),
        ]
        assert lines[0].state.details == {"threshold": 7}
        assert summary.run.params == {"sigma_um": 0.1}


def test_the_latest_run_is_the_latest_that_succeeded_unless_told(database: Database, slide_id: int) -> None:
    with database.session() as session:
        first, second = (runs.start_run(session, step="segment", slide_id=slide_id, fingerprint="x", app_version="1").id for _ in range(2))
        assert latest_run(session, slide_id, "segment") is None
        runs.finish_run(session, first)
        runs.finish_run(session, second, "failed", "no frame could be read")
        latest = latest_run(session, slide_id, "segment")
        assert latest is not None
        assert latest.id == first
        told = latest_run(session, slide_id, "segment", run_id=second)
        assert told is not None
        assert told.error == "no frame could be read"
        with pytest.raises(CacappError, match="not a count run"):
            latest_run(session, slide_id, "count", run_id=second)


def test_times_are_utc_and_know_it(database: Database, slide_id: int) -> None:
    with database.session() as session:
        run_id = runs.start_run(session, step="segment", slide_id=slide_id, fingerprint="x", app_version="1").id
        runs.finish_run(session, run_id)
    with database.reading() as session:
        run = runs.get_run(session, run_id)
        assert run.finished_at is not None
        assert timedelta(0) <= datetime.now(UTC) - run.finished_at < timedelta(minutes=1)
        assert run.started_at <= run.finished_at


def test_a_state_the_ledger_does_not_know_is_refused(database: Database, slide_id: int) -> None:
    with database.session() as session:
        run_id = runs.start_run(session, step="segment", slide_id=slide_id, fingerprint="x", app_version="1").id
    with pytest.raises(IntegrityError), database.session() as session:
        runs.finish_run(session, run_id, "finished")


def test_a_run_that_is_not_there_is_named(database: Database) -> None:
    with database.reading() as session, pytest.raises(CacappError, match="no run 7"):
        runs.get_run(session, 7)
