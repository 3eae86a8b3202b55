"""A run that is killed at any moment, again and again, ends with the rows of one nobody disturbed.

``make soak`` sets CACAPP_KILLS, the number of kills on each kind of database; without it there are a few.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from cacapp.simulation import write_slide
from cacapp.simulation.samples import SAMPLE_MODEL
from tests.e2e.records import content, half_done, opened
from tests.postgres import Postgres

CHECKOUT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "cacapp")
FRAMES = 12
KILLS = int(os.environ.get("CACAPP_KILLS", "5"))
SEED = int(os.environ.get("CACAPP_KILLS_SEED", "1"))


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of 224 x 224 px with four nuclei each."""
    folder = tmp_path_factory.mktemp("killed") / "slide"
    kinds = {"normal": 3, "cac": 1}
    write_slide(folder, SAMPLE_MODEL, frames=FRAMES, seed=5, height_px=224, width_px=224, nuclei=4, kinds=[kinds] * FRAMES)
    return folder


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


def command(slide: Path) -> list[str]:
    who = ["--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100"]
    # a frame whose worker is killed again and again would be quarantined, as it should be
    return ["run", str(slide), *who, "--segmenter", "coarse", "--no-report", "--workers", "2", "--retries", "99"]


def start(url: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*PROGRAM, *words], cwd=CHECKOUT, env=os.environ | {"CACAPP_DB": url}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def run(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *words], cwd=CHECKOUT, env=os.environ | {"CACAPP_DB": url}, capture_output=True, text=True)


def begun(url: str, process: subprocess.Popen[bytes]) -> None:
    """Waits until the command is on record: killed earlier, it has left nothing to go on with."""
    engine = opened(url)
    while process.poll() is None:
        with engine.connect() as connection:
            if connection.execute(text("SELECT count(*) FROM request")).scalar():
                break
        time.sleep(0.02)
    engine.dispose()


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return list(psutil.Process(process.pid).children())
    return []


def test_a_run_killed_at_any_moment_is_resumed_to_the_rows_of_an_undisturbed_one(fresh: Callable[[], str], slide: Path) -> None:
    chance = random.Random(SEED)
    url = fresh()
    watched = start(url, *command(slide))
    begun(url, watched)
    since = time.monotonic()
    assert watched.wait() == 0
    usual_s = time.monotonic() - since
    expected = content(url)
    assert len(expected["frame"]) == FRAMES
    assert len(expected["run_frame"]) == 2 * FRAMES
    victims = ["worker"] * (2 * KILLS // 5) + ["coordinator"] * (KILLS - 2 * KILLS // 5)
    chance.shuffle(victims)
    killed = dict.fromkeys(victims, 0)
    while victims:
        url = fresh()
        process = start(url, *command(slide))
        begun(url, process)
        while victims:
            time.sleep(chance.uniform(0, usual_s))
            workers = workers_of(process)
            if process.poll() is not None:
                break
            if victims[-1] == "worker":
                if workers:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        chance.choice(workers).kill()
                        killed[victims.pop()] += 1
                continue  # the coordinator goes on, and may be hit again
            process.kill()
            process.wait()
            killed[victims.pop()] += 1
            assert half_done(url) == []
            _, alive = psutil.wait_procs(workers, timeout=20)
            assert alive == [], "workers end with their coordinator"
            process = start(url, "runs", "resume", "--workers", "2")
        assert process.wait() == 0
        ended = run(url, "runs", "resume")
        assert ended.returncode == 0, ended.stderr
        found = content(url)
        assert {name: found.get(name) for name in expected} == expected
        assert found.keys() == expected.keys()
        assert half_done(url) == []
        checked = run(url, "db", "check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
    print(f"kills: {killed}, seed {SEED}")
    assert sum(killed.values()) == KILLS
