"""A Dask cluster does the same work by the same code: real schedulers and workers, each a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from cacapp.engine import Engine
from cacapp.exceptions import CacappError
from tests.e2e.records import content
from tests.engine.test_engine import halve_or_die, own_id, sleep_at_four

Cacapp = Callable[..., Any]
CHECKOUT = Path(__file__).parents[2]
WHO = ("--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100")


@dataclass
class Dask:
    """A scheduler and two workers."""

    address: str
    scheduler: subprocess.Popen[str]
    workers: list[subprocess.Popen[str]]


def dask(*words: str) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in (str(CHECKOUT), os.environ.get("PYTHONPATH")) if p)}
    return subprocess.Popen([sys.executable, "-m", "dask", *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=env)


def start() -> Dask:
    scheduler = dask("scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard")
    assert scheduler.stderr is not None
    address = next(found[0] for line in scheduler.stderr if (found := re.search(r"tcp://127[^\s,]+", line)))
    return Dask(address, scheduler, [worker(address) for _ in range(2)])


def worker(address: str) -> subprocess.Popen[str]:
    started = dask("worker", address, "--nthreads", "1", "--no-dashboard", "--memory-limit", "0")
    assert started.stderr is not None
    next(line for line in started.stderr if "Registered to" in line)
    return started


def stop(cluster: Dask) -> None:
    for process in (*cluster.workers, cluster.scheduler):
        for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
            child.kill()
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Dask]:
    started = start()
    yield started
    stop(started)


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_a_run_on_a_cluster_has_the_rows_of_one_done_here(
    cacapp: Cacapp, cluster: Dask, small_slide: Path, tmp_path: Path, record_url: str
) -> None:
    command = ("run", small_slide, *WHO, "--segmenter", "coarse", "--no-report")
    assert cacapp(*command, "--db", tmp_path / "here.db").code == 0
    assert cacapp(*command, "--cluster", cluster.address).code == 0
    assert content(record_url) == content(str(tmp_path / "here.db"))


@pytest.mark.slow
def test_a_crash_and_a_hang_on_a_cluster_cost_their_items_only(cluster: Dask) -> None:
    with Engine(cluster=cluster.address, frame_timeout_s=3) as engine:
        assert len({o.result for o in engine.run(own_id, range(20))}) == 2
        outcomes = {o.item: o for o in engine.run(halve_or_die, range(7))}
        assert {n: o.result for n, o in outcomes.items()} == {0: 0, 1: None, 2: None, 3: None, 4: None, 5: None, 6: 3}
        assert "SIGSEGV" in (outcomes[2].error or "")
        hung = {o.item: o for o in engine.run(sleep_at_four, range(3, 6))}
    assert {n: o.result for n, o in hung.items()} == {3: 3, 4: None, 5: 5}
    assert "--frame-timeout 3 s" in (hung[4].error or "")
    assert all(process.poll() is None for process in cluster.workers)


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_a_worker_of_the_cluster_that_is_killed_costs_nothing_and_a_scheduler_that_is_gone_ends_in_one_line() -> None:
    own = start()

    def work_on() -> None:
        with Engine(cluster=own.address) as engine:
            for n, outcome in enumerate(engine.run(own_id, range(10_000))):
                assert outcome.error is None
                if n == 5:
                    for child in psutil.Process(own.workers[0].pid).children(recursive=True):
                        child.kill()
                    own.workers[0].kill()
                if n == 40:
                    own.scheduler.kill()

    try:
        with pytest.raises(CacappError, match="its scheduler is gone; what was finished is kept"):
            work_on()
    finally:
        stop(own)


def test_a_cluster_that_is_not_there_is_one_line(cacapp: Cacapp, small_slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cacapp.engine.cluster.CONNECT_S", 1.0)
    assert cacapp("ingest", small_slide, *WHO).code == 0
    ended = cacapp("segment", "--cluster", "tcp://127.0.0.1:9")
    assert ended.code == 2
    assert len(ended.err.strip().splitlines()) == 1
    assert "no Dask scheduler answers there" in ended.err
    ended = cacapp("segment", "--cluster", "tcp://127.0.0.1:9", "--workers", "2")
    assert ended.code == 2
    assert "give one of them" in ended.err


@pytest.mark.slow
def test_without_dask_the_way_to_it_is_named(cacapp: Cacapp, small_slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cacapp("ingest", small_slide, *WHO).code == 0
    ended = cacapp("segment", "--cluster", "tcp://127.0.0.1:8786")
    assert ended.code == 2
    assert "pip install 'cacapp[cluster]'" in ended.err
