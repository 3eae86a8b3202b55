"""The five sample patients, taken through the real command line once; records with accounts, and servers on them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cacapp.db.engine.session import open_database
from cacapp.simulation import write_slide
from cacapp.simulation.samples import SAMPLE_MODEL
from cacapp.steps.review.accounts import add_account
from tests.e2e.programs import FRAMES, command, run
from tests.e2e.records import content
from tests.e2e.review_server import CHROMIUM, PASSWORD, Server, copied, serving
from tests.postgres import Postgres
from tests.review.conftest import settle

CHECKOUT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "cacapp")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `cacapp demo`, started in the checkout, has filled: cacapp.db and reports/; and its output, printed.txt."""
    out = tmp_path_factory.mktemp("demo")
    ended = subprocess.run([*PROGRAM, "demo", "--out", str(out)], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (out / "printed.txt").write_text(ended.stdout)
    return out


@pytest.fixture(scope="session")
def twelve_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of 224 x 224 px with four nuclei each."""
    folder = tmp_path_factory.mktemp("killed") / "slide"
    kinds = {"normal": 3, "cac": 1}
    write_slide(folder, SAMPLE_MODEL, frames=FRAMES, seed=5, height_px=224, width_px=224, nuclei=4, kinds=[kinds] * FRAMES)
    return folder


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, twelve_frames: Path) -> dict[str, list[str]]:
    """The rows of a run on the twelve frames that nothing disturbed."""
    url = str(tmp_path_factory.mktemp("undisturbed") / "whole.db")
    assert run(url, *command(twelve_frames)).returncode == 0
    return content(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path, empty_record: Path) -> Iterator[Callable[[], str]]:
    """Gives empty records, one after the other; the last one is taken away when the next is asked for."""
    server: Postgres | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    made: list[str] = []

    def drop() -> None:
        for name in made:
            if server is not None:
                server.drop(name)
            else:
                for path in tmp_path.glob("record.db*"):
                    path.unlink()
        made.clear()

    def create() -> str:
        drop()
        if server is not None:
            made.append(server.create(template="empty"))
            return server.url(made[-1])
        made.append("record")
        shutil.copy(empty_record, tmp_path / "record.db")
        return str(tmp_path / "record.db")

    yield create
    drop()


STAFF = {"rita": "reviewer", "bert": "reviewer", "paula": "pathologist", "vera": "viewer", "ada": "admin"}


@pytest.fixture(scope="session")
def staffed_once(counted_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A counted record with an account of each role, and a second reviewer; copy it."""
    path = tmp_path_factory.mktemp("staffed") / "staffed.db"
    copied(counted_once, path)
    db = open_database(path)
    settle(db)
    for name, role in STAFF.items():
        add_account(db, name, role, PASSWORD)
    db.dispose()
    return path


@pytest.fixture
def server(staffed_once: Path, tmp_path: Path) -> Iterator[Server]:
    """A server of this test alone."""
    with serving(staffed_once, tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def shared(staffed_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for tests that decide nothing."""
    with serving(staffed_once, tmp_path_factory.mktemp("shared")) as one:
        yield one


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=root)
        yield opened
        opened.close()
