"""A record with a row in each append-only table."""

from __future__ import annotations

import pytest

from cacapp.db.engine.session import Database
from cacapp.db.review.chain import append
from cacapp.db.review.readings import write_event
from cacapp.db.review.tables import Amendment, Review, SignOff
from tests.db.conftest import Filled, filled

__all__ = ["filled"]


@pytest.fixture
def recorded(database: Database, filled: Filled) -> Database:
    """Two reviews, signatures, amendments and events, each written by cacapp."""
    with database.session() as session:
        for key in ("key-1", "key-2"):
            append(session, Review(cell_id=filled.cell_ids[0], run_id=filled.count_id, reviewer="anna", before={"y_px": 1.5}, key=key))
        first = SignOff(patient_id=1, run_id=filled.count_id, signer="paula", record={"cacs": 1}, sha256="a" * 64)
        append(session, first)
        second = SignOff(patient_id=1, run_id=filled.count_id, signer="paula", record={}, previous_id=first.id, sha256="b" * 64)
        append(session, second)
        for signed in (first, second):
            append(session, Amendment(sign_off_id=signed.id, opened_by="paula", reason="an aggregate"))
            write_event(session, "paula", "opened again", "patient P1", sign_off=signed.id)
    return database
