"""Requests: the same command given twice is one request, and abandoning it in one process takes nothing from the other."""

from __future__ import annotations

from cacapp.db.engine.session import Database
from cacapp.db.runs.requests import close_request, continue_request, give_up_request, open_request, open_requests
from cacapp.db.tables import Request


def test_the_same_command_twice_is_one_request_and_giving_it_up_does_not_take_it_from_the_other(database: Database) -> None:
    with database.session() as session:
        one, two = (open_request(session, "run", {"slide": "S1"}, {"retries": 1}) for _ in range(2))
    assert one == two
    with database.session() as session:
        give_up_request(session, one)
    with database.session() as session:
        assert not open_requests(session)
        continue_request(session, two)
        assert [r.id for r in open_requests(session)] == [two]
        close_request(session, two, "done")
    with database.reading() as session:
        assert session.get_one(Request, two).status == "done"


def test_what_was_cancelled_or_done_is_not_reopened_by_resuming(database: Database) -> None:
    with database.session() as session:
        for status in ("cancelled", "done"):
            request = open_request(session, "run", {"slide": status}, {})
            close_request(session, request, status)
            continue_request(session, request)
            assert session.get_one(Request, request).status == status
        continue_request(session, None)
