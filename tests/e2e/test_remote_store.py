"""A whole run whose frames lie behind a web server: as on a disk, slow or not, and through an outage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.e2e.programs import CHECKOUT, FRAMES, PROGRAM, command, run
from tests.e2e.records import content, half_done, opened
from tests.web_store import WebStore

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path, twelve_frames: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebStore]:
    monkeypatch.setenv("CACAPP_FRAME_CACHE", str(tmp_path / "cache"))
    with WebStore(twelve_frames.parent) as served:
        yield served


def words(store: WebStore, twelve_frames: Path, *more: str) -> list[str]:
    given = command(twelve_frames)
    given[1] = f"{store.url}/{twelve_frames.name}"
    return given[: given.index("--retries")] + list(more)


def told_of_the_disk(record: dict[str, list[str]], store: WebStore) -> dict[str, list[str]]:
    """The rows with the folder's path in place of the server's address."""
    return {name: sorted(row.replace(store.url, str(store.folder)) for row in rows) for name, rows in record.items()}


def done(url: str) -> int:
    engine = opened(url)
    with engine.connect() as connection:
        n = connection.execute(text("SELECT count(*) FROM run_frame WHERE status = 'done'")).scalar_one()
    engine.dispose()
    return int(n)


def test_a_run_on_a_server_gives_the_rows_of_one_on_the_disk(
    tmp_path: Path, store: WebStore, twelve_frames: Path, undisturbed: dict[str, list[str]]
) -> None:
    url = str(tmp_path / "record.db")
    ended = run(url, *words(store, twelve_frames))
    assert ended.returncode == 0, ended.stderr
    assert told_of_the_disk(content(url), store) == undisturbed
    assert {n for name, n in store.asked.items() if name.endswith(".tif")} == {1}
    check = run(url, "db", "check", "--files", "all")
    assert check.returncode == 0, check.stdout + check.stderr
    (twelve := tmp_path / "cache").rename(tmp_path / "gone")
    store.swap = {"frame03.ome.tif": "frame04.ome.tif"}
    check = run(url, "db", "check", "--files", "all")
    assert check.returncode == 1
    assert "frame03.ome.tif has changed" in check.stdout + check.stderr
    assert not [p for p in twelve.iterdir() if not p.name.startswith(".")]  # checked against the store, nothing kept


def test_frames_that_come_slowly_but_steadily_are_done_like_any_other(
    tmp_path: Path, store: WebStore, twelve_frames: Path, undisturbed: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACAPP_FRAME_CACHE_GB", "0")  # each step fetches anew
    store.bytes_per_s = 1_000_000
    url = str(tmp_path / "record.db")
    ended = run(url, *words(store, twelve_frames, "--frame-timeout", "120"))
    assert ended.returncode == 0, ended.stderr
    assert told_of_the_disk(content(url), store) == undisturbed


def test_a_read_that_hangs_costs_that_frame_alone(
    tmp_path: Path, store: WebStore, twelve_frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACAPP_FRAME_CACHE_GB", "0")
    url = str(tmp_path / "record.db")
    place = f"{store.url}/{twelve_frames.name}"
    who = ["--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100"]
    assert run(url, "ingest", place, *who).returncode == 0
    store.hangs_on = "frame05.ome.tif"
    segmented = run(url, "segment", "--segmenter", "coarse", "--workers", "2", "--frame-timeout", "40", "--retries", "0")
    assert segmented.returncode == 3, segmented.stderr
    shown = run(url, "runs", "show", "1")
    assert "frame05" in shown.stdout
    assert "40 s" in " ".join(shown.stdout.split())
    assert done(url) == FRAMES - 1
    store.hangs_on = ""
    store.over.set()
    store.over.clear()
    assert run(url, "runs", "retry", "--failed", "--workers", "2").returncode == 0
    assert done(url) == FRAMES


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_does_not_wait_for_a_file_that_a_server_never_ends(tmp_path: Path, store: WebStore, twelve_frames: Path) -> None:
    url = str(tmp_path / "record.db")
    store.hangs_on = "frame01.ome.tif"
    process = subprocess.Popen(
        [*PROGRAM, *words(store, twelve_frames)], cwd=CHECKOUT, env=os.environ | {"CACAPP_DB": url}, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not store.asked["frame01.ome.tif"]:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)  # the server never ends
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.strip().endswith("repeat the command to resume")
    store.hangs_on = ""
    store.over.set()
    store.over.clear()
    again = run(url, *words(store, twelve_frames))
    assert again.returncode == 0, again.stderr
    assert done(url) == 2 * FRAMES


def test_a_server_that_dies_in_mid_run_costs_frames_that_a_retry_brings_back(
    tmp_path: Path, store: WebStore, twelve_frames: Path, undisturbed: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACAPP_FRAME_CACHE_GB", "0")
    url = str(tmp_path / "record.db")
    process = subprocess.Popen(
        [*PROGRAM, *words(store, twelve_frames, "--retries", "1")],
        cwd=CHECKOUT,
        env=os.environ | {"CACAPP_DB": url},
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and (not Path(url).exists() or not Path(url).stat().st_size or not ready(url) or done(url) < 2):
        time.sleep(0.05)
    store.stop()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 3, err
    assert "Traceback" not in err
    assert 2 <= done(url) < 2 * FRAMES
    assert half_done(url) == []
    shown = " ".join(run(url, "runs", "show", "1").stdout.split())
    assert "cannot be fetched" in shown
    store.start()
    retried = run(url, "runs", "retry", "--failed", "--workers", "2")
    assert retried.returncode == 0, retried.stderr
    again = run(url, *words(store, twelve_frames))
    assert again.returncode == 0, again.stderr
    assert "count S1: already done" in again.stdout
    assert half_done(url) == []
    # the count of the first few frames stays in the record, beside that of all
    mine = told_of_the_disk(content(url), store)
    assert {name: [row for row in rows if row not in mine[name]] for name, rows in undisturbed.items()} == {n: [] for n in undisturbed}
    (patient,) = json.loads(run(url, "patients", "--json").stdout)
    assert (patient["frames"], patient["frames_failed"], patient["cells"]) == (FRAMES, 0, 4 * FRAMES)


def ready(url: str) -> bool:
    engine = opened(url)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT 1 FROM sqlite_master WHERE name = 'run_frame'")).first()
    engine.dispose()
    return found is not None
