"""Whoever decides, signs, amends or carries reviews over and is killed at any moment has written all of it or nothing.

``make soak`` sets CACAPP_KILLS, the number of kills of each action on each kind of database; without it there are a few.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from cacapp.cli.app import run_command
from cacapp.db import checks
from cacapp.db.engine.location import locate
from cacapp.db.engine.session import open_database
from cacapp.db.engine.transfer import row_counts
from cacapp.steps.record.check import ROWS
from cacapp.steps.record.copy import copy
from tests.e2e.killed_writer import ACTIONS, act
from tests.e2e.programs import CHECKOUT
from tests.postgres import Postgres
from tests.review.conftest import opened, settled_once

__all__ = ["settled_once"]

KILLS = int(os.environ.get("CACAPP_KILLS", "2"))
SEED = int(os.environ.get("CACAPP_KILLS_SEED", "1"))
GONE_S = 30


@pytest.fixture(scope="module")
def ready(settled_once: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A record for each action, in which it is what comes next."""
    folder = tmp_path_factory.mktemp("ready")
    paths = {action: folder / f"{action}.db" for action in ACTIONS}
    for action, path in paths.items():
        shutil.copy(settled_once, path)
        if action == "decide":
            continue
        record = opened(str(path))
        for cell in record.flagged():
            record.decide("anna", cell.cell_id, "accept")
        if action == "amend":
            act(record.db, "sign")
        record.db.dispose()
        if action == "carry over":
            assert run_command(["count", "S1", "--force", "--quiet", "--db", str(path)]) == 0
    return paths


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def anew(
    request: pytest.FixtureRequest, ready: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """Makes a copy of an action's record in place of the one before; returns its URL."""
    tmp_path = tmp_path_factory.mktemp("killed")
    if request.param == "sqlite":

        def file(action: str) -> str:
            for old in tmp_path.glob("record.db*"):
                old.unlink()
            with closing(sqlite3.connect(ready[action])) as source, closing(sqlite3.connect(tmp_path / "record.db")) as target:
                source.backup(target)  # with what is still in the write-ahead log
            return str(tmp_path / "record.db")

        yield file
        return
    server: Postgres = request.getfixturevalue("postgres")
    templates: dict[str, str] = {}
    made: list[str] = []

    def database(action: str) -> str:
        if action not in templates:
            templates[action] = server.create()
            source = open_database(ready[action])
            copy(source, server.url(templates[action]))
            source.dispose()
        if made:
            server.drop(made.pop())
        made.append(server.create(template=templates[action]))
        return server.url(made[0])

    yield database
    for name in (*made, *templates.values()):
        server.drop(name)


@pytest.fixture(scope="module")
def writer() -> Iterator[Callable[..., dict[str, Any]]]:
    """Gives orders to tests/e2e/killed_writer.py, see there."""
    command = [sys.executable, "-m", "tests.e2e.killed_writer"]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None

    def order(**words: object) -> dict[str, Any]:
        process.stdin.write(json.dumps(words) + "\n")
        process.stdin.flush()
        return dict(json.loads(process.stdout.readline()))

    yield order
    process.stdin.close()
    process.wait()


def rows(url: str) -> dict[str, int]:
    """Rows by table, once nobody else is connected any more."""
    engine = create_engine(locate(url).url)
    with engine.connect() as connection:
        deadline = time.monotonic() + GONE_S
        while engine.dialect.name == "postgresql" and connection.execute(text(OTHERS)).scalar_one():
            assert time.monotonic() < deadline, "the server did not end the connection of a process that is gone"
            connection.rollback()
            time.sleep(0.005)
        found = row_counts(connection)
    engine.dispose()
    return found


OTHERS = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""


def require_whole(url: str) -> None:
    """The chain and what was signed are whole."""
    db = open_database(url, create=False)
    with db.reading() as session:
        assert [*checks.chain(session), *checks.append_only(session), *ROWS["signatures"](session)] == []
    db.dispose()


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_killed_within_its_transaction_is_there_as_a_whole_or_not_at_all(
    action: str, anew: Callable[[str], str], writer: Callable[..., dict[str, Any]]
) -> None:
    chance = random.Random(f"{SEED} {action}")
    url = anew(action)
    before = rows(url)
    usual = writer(url=url, action=action)
    assert (usual["signal"], usual["code"], usual["committed"]) == (0, 0, True)
    after = rows(url)
    written = {table: after[table] - n for table, n in before.items() if after[table] != n}
    assert written["chain_link"] == written.get("review", 0) + sum(written.get(t, 0) for t in ("sign_off", "amendment", "audit_event")) > 0
    require_whole(url)
    # one half just before the commit and at each statement from the last on, the others at any time, in the middle of a statement too
    moments = usual["statements"] + 1
    chosen = [{"statement": usual["statements"] - i % moments} for i in reversed(range(KILLS // 2))]
    killed = all_of_it = late = 0
    while killed < KILLS:
        where: dict[str, Any] = chosen.pop() if chosen else {"after_s": chance.uniform(0, usual["seconds"])}
        url = anew(action)
        ended = writer(url=url, action=action, **where)
        assert (ended["signal"], ended["began"]) == (9, True), ended
        found = rows(url)
        assert found in (before, after), {table: (before[table], n, after[table]) for table, n in found.items() if n != before[table]}
        if ended["committed"]:
            assert found == after, "what was told to be written is there"
            late += 1
            continue  # killed after its transaction
        killed += 1
        all_of_it += found == after
        require_whole(url)
        if found == before:
            assert writer(url=url, action=action)["code"] == 0
            assert rows(url) == after
    print(f"{action}: {killed} kills in {usual['statements']} statements: {killed - all_of_it} nothing, {all_of_it} all; {late} after it")
    assert killed == KILLS
