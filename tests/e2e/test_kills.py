"""A run that is killed at any moment, again and again, ends with the rows of one nobody disturbed.

``make soak`` sets CACAPP_KILLS, the number of kills on each kind of database; without it there are a few.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from sqlalchemy import text

from tests.e2e.programs import FRAMES, command, run, start
from tests.e2e.records import content, half_done, opened

KILLS = int(os.environ.get("CACAPP_KILLS", "3"))
SEED = int(os.environ.get("CACAPP_KILLS_SEED", "1"))


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


def test_a_run_killed_at_any_moment_is_resumed_to_the_rows_of_an_undisturbed_one(fresh: Callable[[], str], twelve_frames: Path) -> None:
    chance = random.Random(SEED)
    url = fresh()
    watched = start(url, *command(twelve_frames))
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
        process = start(url, *command(twelve_frames))
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
