"""A counted slide to review."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import text
from sqlmodel import select

from cacapp.db.cells.calls import write_calls
from cacapp.db.cells.states import CalledCell, called_cells, machine_states
from cacapp.db.engine.base import Table
from cacapp.db.engine.session import Database, open_database
from cacapp.db.queries import latest_run_ids
from cacapp.db.review.accounts import make_token, require_account
from cacapp.db.tables import Patient, Run, Slide
from cacapp.fish.calls import call_by_counts
from cacapp.results.patient import refresh_results
from cacapp.results.tally import assay_of
from cacapp.review.app import create_app
from cacapp.review.authorisation import SESSION_COOKIE, csrf_of
from cacapp.review.settings import Settings
from cacapp.steps.review.accounts import add_account
from cacapp.steps.review.decide import Action, Outcome, decide
from tests.conftest import Ended, copy_template
from tests.postgres import Postgres


@dataclass
class Record:
    """A record with one patient and one counted slide."""

    db: Database
    url: str
    patient_id: int
    slide_id: int
    run_id: int
    cells: list[CalledCell]

    def flagged(self) -> list[CalledCell]:
        return [c for c in self.cells if c.flagged]

    def of_class(self, name: str) -> CalledCell:
        return next(c for c in self.cells if c.class_ == name)

    def decide(self, who: str, cell_id: int, kind: str, seen: int = 0, key: str | None = None, **more: object) -> Outcome:
        return decide(self.db, who, cell_id, Action(kind, **more), run_id=self.run_id, seen=seen, key=key)  # type: ignore[arg-type]


def settle(db: Database) -> None:
    """Calls every cell by its counts alone: tests of the review do not hang on how much doubt the software has."""
    with db.session() as session:
        run = session.exec(select(Run).where(Run.step == "count")).one()
        assert run.id is not None
        assay = assay_of(run)
        cells = called_cells(session, run.id)
        states = machine_states(session, run.id, [c.cell_id for c in cells])
        counts = np.array([[states[c.cell_id].counts[name] for name in assay.channels] for c in cells])
        calls = call_by_counts(counts, [states[c.cell_id].exclusion_reason for c in cells], assay)
        stored = [replace(call, margin=c.margin) for call, c in zip(calls, cells, strict=True)]
        write_calls(session, run.id, [c.cell_id for c in cells], stored)
        refresh_results(session, [run.id], assay, None)


def opened(url: str) -> Record:
    """The record behind a path or URL, with its one patient and slide, which is counted."""
    db = open_database(url)
    with db.reading() as session:
        patient, slide = session.exec(select(Patient)).one(), session.exec(select(Slide)).one()
        assert patient.id is not None
        assert slide.id is not None
        run_id = latest_run_ids(session, "count", [slide.id])[slide.id]
        return Record(db, url, patient.id, slide.id, run_id, called_cells(session, run_id))


@pytest.fixture(scope="session")
def settled_once(counted_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite record whose cells are called by their counts alone; copy it."""
    path = tmp_path_factory.mktemp("settled") / "settled.db"
    with closing(sqlite3.connect(counted_once)) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
    db = open_database(path)
    settle(db)
    db.dispose()
    return path


@pytest.fixture(scope="session")
def settled_template(postgres: Postgres, counted_template: str) -> str:
    """The same on PostgreSQL: the name of a database to copy."""
    name = postgres.create(template=counted_template)
    db = open_database(postgres.url(name))
    settle(db)
    db.dispose()
    return name


@pytest.fixture
def counted(cacapp: Callable[..., Ended], database_kind: str, record_url: str, request: pytest.FixtureRequest) -> Callable[..., Ended]:
    """The command line in a folder whose record holds the counted small slide, each cell called by its counts."""
    copy_template(request, record_url, "settled_once" if database_kind == "sqlite" else "settled_template")
    return cacapp


@pytest.fixture
def record(counted: object, record_url: str) -> Iterator[Record]:
    """A record of this test alone, on SQLite and on PostgreSQL."""
    found = opened(record_url)
    yield found
    found.db.dispose()


PASSWORDS = {role: f"four words for {role}" for role in ("viewer", "reviewer", "second", "pathologist", "admin")}
BASE = "http://127.0.0.1:8350"


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Iterator[None]:
    """argon2 with its cheapest parameters: the tests log in hundreds of times."""
    import argon2

    from cacapp.steps.review import accounts

    patch = pytest.MonkeyPatch()
    patch.setattr(accounts, "_hasher", lambda: argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield
    patch.undo()


@pytest.fixture
def staffed(record: Record) -> Record:
    """A record with an account of each role, and a second reviewer."""
    add_accounts(record.db)
    return record


def add_accounts(db: Database) -> None:
    for name, password in PASSWORDS.items():
        add_account(db, name, "reviewer" if name == "second" else name, password)


@pytest.fixture
def app(staffed: Record, tmp_path: Path) -> Iterator[FastAPI]:
    """The application on it; nothing is drawn ahead."""
    made = create_app(staffed.db, Settings(cache=tmp_path / "pictures", prefetch_threads=0))
    yield made
    made.state.reports.stop()
    assert made.state.later.flush()


@pytest.fixture
def visit(app: FastAPI) -> Iterator[Callable[..., Browser]]:
    """Makes a browser without a screen, logged in as an account, or as nobody."""
    opened: list[Browser] = []

    def make(name: str | None = None) -> Browser:
        opened.append(Browser(app))
        if name is not None:
            opened[-1].log_in(name, PASSWORDS[name])
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@dataclass
class Shared:
    """An application that all tests of a module ask, as they change nothing in it; each role logs in once."""

    record: Record
    app: FastAPI
    browsers: dict[str, Browser] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    def token(self, name: str) -> dict[str, str]:
        """The header of the account's token, which may write."""
        if name not in self.secrets:
            with self.record.db.session() as session:
                self.secrets[name] = make_token(session, require_account(session, name).id, "shared", 1, True)[1]
        return {"Authorization": f"Bearer {self.secrets[name]}"}

    def csrf(self, name: str) -> str:
        """The token that the account's forms carry."""
        return csrf_of(self.browser(name).cookies[SESSION_COOKIE])

    def browser(self, name: str) -> Browser:
        """The browser of the account with this name."""
        if name not in self.browsers:
            self.browsers[name] = Browser(self.app)
            self.browsers[name].log_in(name, PASSWORDS[name])
        return self.browsers[name]


@pytest.fixture(scope="module")
def shared(settled_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """The application on a SQLite record with accounts, for tests whose requests are refused or only read."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copy(settled_once, folder / "shared.db")
    record = opened(str(folder / "shared.db"))
    add_accounts(record.db)
    one = Shared(record, create_app(record.db, Settings(cache=folder / "pictures", prefetch_threads=0)))
    yield one
    for browser in one.browsers.values():
        browser.close()
    one.app.state.reports.stop()
    assert one.app.state.later.flush()
    record.db.dispose()


class Browser(TestClient):
    """Sends forms as a browser does: with cookies, the page's token and its origin."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(app, base_url=BASE, follow_redirects=False, headers={"Accept": "text/html", "Sec-Fetch-Site": "same-origin"})

    @property
    def csrf(self) -> str:
        found = re.search(r'<meta name="csrf" content="([0-9a-f]*)">', self.get("/account").text)
        return found[1] if found else ""

    def log_in(self, name: str, password: str) -> Response:
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/login").text)
        assert token is not None
        return self.post("/login", data={"name": name, "password": password, "csrf_token": token[1]})

    def submit(self, url: str, **form: object) -> Response:
        return self.post(url, data={"csrf_token": self.csrf, **form})

    def report(self, path: str) -> Response:
        """Wait for a report as its waiting page does."""
        deadline = time.monotonic() + 120
        while (answer := self.get(path)).status_code == 202 and time.monotonic() < deadline:
            time.sleep(0.05)
        return answer

    def decide(self, record: Record, cell_id: int, kind: str, seen: int = 0, then: str = "stay", **more: object) -> Response:
        body = {"kind": kind, "run_id": record.run_id, "seen": seen, "key": uuid.uuid4().hex, **more}
        return self.post(f"/cells/{cell_id}/reviews?then={then}", json=body, headers={"X-CSRF-Token": self.csrf})


@contextmanager
def locked(record: Record, *, readers: bool = False) -> Iterator[None]:
    """Lets another program write to the database, and not end its transaction, during the body. ``readers``: it locks readers out too."""
    if record.db.engine.dialect.name == "sqlite":
        record.db.dispose()
        with closing(sqlite3.connect(record.url, isolation_level=None)) as other:
            if readers:
                other.execute("PRAGMA journal_mode = DELETE")
            other.execute("BEGIN EXCLUSIVE" if readers else "BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    with record.db.engine.connect() as connection:
        tables = ", ".join(f'"{table}"' for table in Table.metadata.tables)
        connection.execute(text(f"LOCK TABLE {tables} IN {'ACCESS ' if readers else ''}EXCLUSIVE MODE"))
        yield
        connection.rollback()
