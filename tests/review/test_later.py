"""Small writes wait for the database in the background, and none is lost to a lock."""

from __future__ import annotations

from functools import partial

import pytest

from cacapp.db.engine import transactions
from cacapp.db.review.readings import events, write_event
from cacapp.review import later as module
from cacapp.review.later import Later
from tests.review.conftest import Record, locked


def test_a_write_waits_for_a_lock_in_the_background_and_is_written_once(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "LOCK_WAIT_S", 0.2)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    later = Later(record.db)
    with locked(record):
        later.put("look", partial(write_event, account="ann", action="looked"), "now")
        assert later.waiting("look") == "now"
        assert not later.flush(0.5)
    assert later.flush(30)
    assert later.waiting("look") is None
    with record.db.reading() as session:
        assert sum(e.action == "looked" for e in events(session)) == 1


def test_a_write_that_cannot_be_does_not_stop_the_next(record: Record) -> None:
    later = Later(record.db)
    later.put("wrong", lambda _session: 1 / 0)
    later.put("right", partial(write_event, account="ann", action="looked"))
    assert later.flush(30)
    with record.db.reading() as session:
        assert sum(e.action == "looked" for e in events(session)) == 1
