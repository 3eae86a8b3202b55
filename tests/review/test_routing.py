"""Pages that read do not wait for those that write; an account that was changed is out in the middle of whatever it does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import argon2
import pytest
from sqlmodel import select

from cacapp.db.engine import transactions
from cacapp.db.review.accounts import tokens_of
from cacapp.db.review.readings import reviews
from cacapp.db.review.tables import Account, LoginAttempt, WebSession
from cacapp.db.tables import now
from cacapp.review.authorisation import SESSION_COOKIE
from cacapp.review.lanes import Busy
from cacapp.review.live import MAX_STREAMS, Live
from cacapp.review.pages import cell as cell_page
from cacapp.review.pages import gallery
from cacapp.review.pages import login as login_page
from cacapp.steps.review import accounts
from cacapp.steps.review.accounts import MAX_FAILURES_OF_NAME, set_active, set_password, set_role
from tests.review.conftest import PASSWORDS, Browser, Record, locked

Visit = Callable[..., Browser]
CHANGES = {
    "password": lambda db: set_password(db, "reviewer", "another four words", "test"),
    "role": lambda db: set_role(db, "reviewer", "viewer", "test"),
    "disabled": lambda db: set_active(db, "reviewer", False, "test"),
}


def test_no_page_waits_for_a_program_that_has_locked_the_database(staffed: Record, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "LOCK_WAIT_S", 1)
    browser = visit("pathologist")
    with staffed.db.session() as session:
        for kept in session.exec(select(WebSession)):
            kept.last_seen_at = now() - timedelta(minutes=5)  # each page is a use that has to be stored
    cell = staffed.cells[0]
    pages = [
        "/",
        f"/slides/{staffed.slide_id}",
        f"/cells/{cell.cell_id}",
        f"/patients/{staffed.patient_id}",
        "/account",
        "/login",
        "/healthz",
    ]
    pages += [f"/frames/{cell.frame_id}", f"/frames/{cell.frame_id}/tiles/0/0/0.webp", f"/cells/{cell.cell_id}/sprite.webp"]
    with locked(staffed):
        stuck = threading.Thread(target=browser.submit, args=("/account/tokens",), kwargs={"label": "waits"})
        stuck.start()
        assert {path: browser.get(path).status_code for path in pages} == dict.fromkeys(pages, 200)
    stuck.join()
    assert browser.app.state.later.flush()  # type: ignore[attr-defined]
    with staffed.db.reading() as session:
        assert all(now() - kept.last_seen_at < timedelta(minutes=1) for kept in session.exec(select(WebSession)))


def test_where_readers_are_locked_out_too_a_page_says_so_instead_of_waiting(staffed: Record, visit: Visit) -> None:
    browser = visit("viewer")
    with locked(staffed, readers=True):
        answer = browser.get("/")
    assert (answer.status_code, "in use by another program (waited 0.5 s)" in answer.text) == (503, True)
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize("change", CHANGES)
def test_a_login_with_what_was_just_changed_opens_no_session(
    staffed: Record, visit: Visit, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The change comes between the check of the old password and the session."""
    check = login_page.verify_password

    def changed_meanwhile(*given: Any) -> Account | None:
        account = check(*given)
        CHANGES[change](staffed.db)
        return account

    monkeypatch.setattr(login_page, "verify_password", changed_meanwhile)
    browser = visit()
    answer = browser.log_in("reviewer", PASSWORDS["reviewer"])
    assert (answer.status_code, SESSION_COOKIE in browser.cookies) == (401, False)
    with staffed.db.reading() as session:
        assert list(session.exec(select(WebSession))) == []


def test_a_new_hash_of_the_old_password_does_not_replace_a_new_one(staffed: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

    class Outdated(argon2.PasswordHasher):
        def verify(self, hash: Any, password: Any) -> Any:
            right = quick.verify(hash, password)
            monkeypatch.setattr(accounts, "_hasher", lambda: quick)
            set_password(staffed.db, "reviewer", "another four words", "test")
            return right

        def check_needs_rehash(self, hash: Any) -> bool:
            return True

    monkeypatch.setattr(accounts, "_hasher", Outdated)
    accounts.verify_password(staffed.db, "reviewer", PASSWORDS["reviewer"], "")
    assert accounts.verify_password(staffed.db, "reviewer", "another four words", "") is not None


@pytest.mark.parametrize("change", CHANGES)
def test_a_write_that_was_admitted_before_the_change_writes_nothing_after_it(
    staffed: Record, visit: Visit, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    browser = visit("reviewer")
    real = cell_page.decide

    def changed_meanwhile(*given: Any, **more: Any) -> Any:
        thread = threading.Thread(target=CHANGES[change], args=(staffed.db,))
        thread.start()
        thread.join()
        return real(*given, **more)

    monkeypatch.setattr(cell_page, "decide", changed_meanwhile)
    assert browser.decide(staffed, staffed.flagged()[0].cell_id, "accept").status_code in (303, 401)
    with staffed.db.reading() as session:
        assert reviews(session, [staffed.run_id]) == []


def test_a_token_asked_for_with_a_session_that_ended_is_not_made(staffed: Record, visit: Visit) -> None:
    browser = visit("reviewer")
    csrf = browser.csrf
    with staffed.db.reading() as session:
        account = session.exec(select(Account).where(Account.name == "reviewer")).one()
    set_password(staffed.db, "reviewer", "another four words", "test")
    assert browser.post("/account/tokens", data={"csrf_token": csrf, "label": "late"}).status_code == 303
    with staffed.db.reading() as session:
        assert tokens_of(session, account.id) == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_long_answer_is_not_given_after_the_change(staffed: Record, visit: Visit, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    browser = visit("reviewer")
    real = gallery.cards

    def long(*given: Any, **more: Any) -> Any:
        thread = threading.Thread(target=CHANGES[change], args=(staffed.db,))
        thread.start()
        thread.join()
        return real(*given, **more)

    monkeypatch.setattr(gallery, "cards", long)
    monkeypatch.setattr("cacapp.review.routing.CHECK_AFTER_S", 0)
    answer = browser.get(f"/slides/{staffed.slide_id}")
    assert (answer.status_code, "S1" in answer.text) == (303, False)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("change", CHANGES)
def test_an_event_stream_ends_with_the_change(staffed: Record, visit: Visit, change: str) -> None:
    browser = visit("reviewer")
    seen: list[Any] = []
    app = browser.app

    async def watch() -> list[str]:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/events",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1"), (b"cookie", f"{SESSION_COOKIE}={browser.cookies[SESSION_COOKIE]}".encode())],
            "client": ("testclient", 1),
            "server": ("127.0.0.1", 8350),
            "scheme": "http",
            "root_path": "",
        }
        told: list[str] = []
        changed = asyncio.Event()
        never = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not seen:
                seen.append(1)
                return {"type": "http.request", "body": b"", "more_body": False}
            await never.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            told.append(message.get("body", b"").decode())
            if "event: runs" in told[-1] and not changed.is_set():
                changed.set()
                await asyncio.to_thread(CHANGES[change], staffed.db)

        await asyncio.wait_for(app(scope, receive, send), 30)
        return told

    told = asyncio.run(watch())
    assert sum("event: runs" in line for line in told) == 1


def test_one_person_has_a_limited_number_of_streams(record: Record) -> None:
    live = Live(record.db)
    live._watching["ann"] = MAX_STREAMS
    with pytest.raises(Busy, match="30 worklists"):
        live.require_place("ann")
    live.require_place("bob")


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=2)])
def test_a_session_of_a_time_yet_to_come_is_none(staffed: Record, visit: Visit, ahead: timedelta) -> None:
    browser = visit("reviewer")
    with staffed.db.session() as session:
        for kept in session.exec(select(WebSession)):
            kept.last_seen_at = kept.created_at = now() + ahead  # the clock was set back since
    assert browser.get("/").status_code == 303


def test_a_password_whose_check_was_cut_short_is_not_a_wrong_one(staffed: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(argon2.PasswordHasher):
        def verify(self, hash: Any, password: Any) -> Any:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(accounts, "_hasher", Killed)
        for _ in range(MAX_FAILURES_OF_NAME):
            with pytest.raises(KeyboardInterrupt):
                accounts.verify_password(staffed.db, "pathologist", PASSWORDS["pathologist"], "127.0.0.1")
    assert accounts.verify_password(staffed.db, "pathologist", PASSWORDS["pathologist"], "127.0.0.1") is not None


def test_wrong_passwords_of_a_time_yet_to_come_lock_nobody_out(staffed: Record, visit: Visit) -> None:
    with staffed.db.session() as session:
        for _ in range(MAX_FAILURES_OF_NAME):
            attempt = LoginAttempt(name="viewer", address="testclient", succeeded=False, at=now() + timedelta(hours=1))
            session.add(attempt)
    assert visit().log_in("viewer", PASSWORDS["viewer"]).status_code == 303
    with staffed.db.reading() as session:
        assert all(a.succeeded for a in session.exec(select(LoginAttempt)))  # or they would lock the name out in an hour
