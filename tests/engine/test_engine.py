"""Per-frame work in processes: a failure, a crash or a hang affects its item only, and items are taken as there is room for them."""

from __future__ import annotations

import os
import pickle
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from cacapp.engine import Engine, engine_or_new
from cacapp.engine.engine import ENOUGH_PX
from cacapp.engine.messages import IDLE_EXIT
from cacapp.engine.process import Task, WorkerProcess
from cacapp.exceptions import CacappError


def halve(n: int) -> int:
    if n % 2:
        raise CacappError(f"{n} is odd")
    return n // 2


def halve_or_die(n: int) -> int:
    if n == 4:
        os._exit(9)
    if n == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    return halve(n)


def sleep_at_four(n: int) -> int:
    if n == 4:
        time.sleep(600)
    return n


def own_id(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def print_and_halve(n: int) -> int:
    os.write(1, b"a library's banner\n")
    return n // 2


def has_loaded(_: int) -> tuple[int, bool]:
    time.sleep(0.05)
    return os.getpid(), "this" in sys.modules


def faults_of_a_second_plane(_: int) -> int:
    """Pages asked for anew when an array of 60 MB is made after one of the same size was freed."""
    import resource

    np.zeros(15_000_000, np.float32).fill(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.zeros(15_000_000, np.float32).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def threads(_: int) -> tuple[int, str | None]:
    import cv2

    time.sleep(0.05)
    return cv2.getNumThreads(), os.environ.get("OMP_NUM_THREADS")


def bug(n: int) -> float:
    return 1 / n


def touch_and_wait(folder: Path) -> int:
    (folder / str(os.getpid())).touch()
    time.sleep(600)
    return 0


def end_idle(_: int) -> int:
    os._exit(IDLE_EXIT)


class Keeps:
    """Work that loads something once."""

    loaded: int | None = None

    def __call__(self, n: int) -> int:
        self.loaded = self.loaded or time.monotonic_ns()
        return self.loaded


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def children() -> list[int]:
    """Worker processes of this one."""
    mine = psutil.Process().children()
    return [p.pid for p in mine if "cacapp.engine.worker" in p.cmdline()]


@pytest.mark.parametrize("workers", [None, 1, 2])
def test_errors_of_the_user_and_bugs_are_outcomes(workers: int | None) -> None:
    with Engine(workers) as engine:
        outcomes = {o.item: o for o in engine.run(halve, [2, 3, 4])}
        assert {n: (o.result, o.error) for n, o in outcomes.items()} == {2: (1, None), 3: (None, "3 is odd"), 4: (2, None)}
        one, zero = sorted(engine.run(bug, [0, 1]), key=lambda o: o.error or "")
    assert one.result == 1
    assert "ZeroDivisionError" in (zero.error or "")
    assert "in bug" in (zero.trace or "")


def test_a_crash_costs_its_item_only_and_processes_are_kept() -> None:
    with Engine(2) as engine:
        first = {o.result for o in engine.run(own_id, range(8))}
        second = {o.result for o in engine.run(own_id, range(8))}
        assert len(first) == 2
        assert os.getpid() not in first
        assert second == first
        outcomes = {o.item: o for o in engine.run(halve_or_die, range(9))}
    assert {n: o.result for n, o in outcomes.items()} == {0: 0, 1: None, 2: None, 3: None, 4: None, 5: None, 6: 3, 7: None, 8: 4}
    assert "odd" in (outcomes[3].error or "")
    assert "SIGSEGV" in (outcomes[2].error or "")
    assert "exit code 9" in (outcomes[4].error or "")


@pytest.mark.slow
def test_a_hang_costs_its_item_only() -> None:
    with Engine(1, frame_timeout_s=2) as engine:
        outcomes = {o.item: o for o in engine.run(sleep_at_four, range(3, 7))}
    assert {n: o.result for n, o in outcomes.items()} == {3: 3, 4: None, 5: 5, 6: 6}
    assert outcomes[4].error == "took longer than --frame-timeout 2 s and was stopped"


def test_a_worker_killed_by_someone_else_costs_its_item_only() -> None:
    killed: list[int] = []
    with Engine(2) as engine:
        for outcome in engine.run(own_id, range(30)):
            if not killed and outcome.result is not None:
                killed.append(outcome.result)
                os.kill(outcome.result, signal.SIGKILL)
            lost = outcome.error
            assert lost is None or "SIGKILL" in lost
        assert killed
        assert not alive(killed[0])


def test_items_are_taken_as_there_is_room_for_them() -> None:
    taken = 0

    def many() -> Iterator[int]:
        nonlocal taken
        for n in range(0, 400, 2):
            taken += 1
            yield n

    with Engine(2) as engine:
        for done, _ in enumerate(engine.run(halve, many()), 1):
            assert taken - done <= 3
    assert taken == 200


def test_work_is_sent_once_and_keeps_what_it_loads() -> None:
    with Engine(2) as engine:
        assert len({o.result for o in engine.run(Keeps(), range(20))}) <= 2


def test_output_of_workers_does_not_mix_with_results(capfd: pytest.CaptureFixture[str]) -> None:
    with Engine(2) as engine:
        assert sorted(o.result or 0 for o in engine.run(print_and_halve, [2, 4])) == [1, 2]
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.replace("a library's banner\n", "") == ""  # nothing of the worker's own, such as a warning of the interpreter


def test_work_of_a_script_or_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_id, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "own_id", own_id, raising=False)
    with Engine(1) as engine:
        (outcome,) = engine.run(own_id, [1])
    assert outcome.trace is None
    assert "own_id" in (outcome.error or "")
    assert "an algorithm must be importable there" in (outcome.error or "")


def test_stopping_the_iteration_stops_the_workers(tmp_path: Path) -> None:
    with Engine(2) as engine:
        assert list(engine.run(touch_and_wait, [tmp_path] * 4, stopped=lambda: len(list(tmp_path.iterdir())) == 2)) == []
        pids = [int(p.name) for p in tmp_path.iterdir()]
        assert len(pids) == 2
        assert not any(map(alive, pids))
        assert [o.result for o in engine.run(halve, [8])] == [4]  # and it can be used again


def test_workers_end_with_their_coordinator_however_it_ends(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from cacapp.engine import Engine, machine
from cacapp.engine.engine import ENOUGH_PX
from tests.engine.test_engine import touch_and_wait
with Engine(2) as engine:
    list(engine.run(touch_and_wait, [Path({str(tmp_path)!r})] * 2))
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    while len(list(tmp_path.iterdir())) < 2 and process.poll() is None:
        time.sleep(0.05)
    pids = [int(p.name) for p in tmp_path.iterdir()]
    assert all(map(alive, pids))
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def test_a_process_that_ended_idle_costs_nothing() -> None:
    """What it was sent at that moment was not begun: it is done by another."""
    process = WorkerProcess()
    task = Task("t", pickle.dumps(end_idle), pickle.dumps(4), None)
    assert process.ask(task) is None
    assert not process.alive
    killed = WorkerProcess()
    os.kill(killed.pid, signal.SIGKILL)
    answer = killed.ask(task)
    assert answer is not None
    assert "SIGKILL" in (answer[1] or "")


def test_processes_that_are_started_early_have_loaded_what_work_needs(capfd: pytest.CaptureFixture[str]) -> None:
    """What cannot be imported is left to the item that needs it; what a module prints gets among no results."""
    with Engine(2) as engine:
        engine.expect(2, 1, ["no_such_module_here", "this"])
        found = {o.result for o in engine.run(has_loaded, range(8))}
    assert all(result is not None and result[1] for result in found)
    assert len(found) == 2
    assert capfd.readouterr().out == ""


def test_starting_early_leaves_nothing_behind_where_there_is_nothing_to_do() -> None:
    with Engine(2) as engine:
        engine.expect(2, 1, ["json"])
        deadline = time.monotonic() + 10
        while len(pids := children()) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert len(pids) == 2
    assert not any(map(alive, pids))


def test_an_engine_may_end_before_its_processes_have_begun() -> None:
    for _ in range(5):
        with Engine(3) as engine:
            engine.expect(3, 1, ["this"])
    assert children() == []


def test_a_machine_that_has_no_process_left_to_give_is_reported_with_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with Engine(2) as engine:
        engine.expect(2, 1, ["json"])
        assert all("Resource temporarily unavailable" in (o.error or "") for o in engine.run(halve, [2, 4]))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize("inherited", ["", "65536"])
def test_memory_of_a_plane_stays_with_the_worker_for_the_next(monkeypatch: pytest.MonkeyPatch, inherited: str) -> None:
    """What Dask sets for its workers (65536) too: theirs are children of one."""
    if inherited:
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", inherited)
    with Engine(2) as engine:
        assert max(o.result or 0 for o in engine.run(faults_of_a_second_plane, [1])) < 20


def test_a_worker_has_one_thread_however_few_there_are() -> None:
    """One alone is a worker like any other: what it takes, and gives, does not hang on how many there are."""
    for workers in (1, 2):
        with Engine(workers) as engine:
            assert {o.result for o in engine.run(threads, range(4))} == {(1, "1")}


def test_without_a_given_number_of_workers_the_machine_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many processes as there is room for; none for what is done before they have started."""
    monkeypatch.setattr("cacapp.engine.engine.processes", lambda: 2)
    with Engine() as engine:
        engine.expect(1, ENOUGH_PX - 1, ["this"])
        assert [o.result for o in engine.run(own_id, [1])] == [os.getpid()]
        assert children() == []
        engine.expect(8, ENOUGH_PX, ["this"])
        assert {o.result for o in engine.run(threads, range(8))} == {(1, "1")}
        assert len(children()) == 2
    assert children() == []


def test_small_amounts_of_expected_work_add_up_until_processes_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slides come one by one, each too little alone."""
    monkeypatch.setattr("cacapp.engine.engine.processes", lambda: 2)
    with Engine() as engine:
        engine.expect(8, ENOUGH_PX)
        engine.expect(1, 1)
        assert children() == []
        assert [o.result for o in engine.run(own_id, [1])] == children() != []


def test_no_more_processes_start_early_than_there_are_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cacapp.engine.engine.processes", lambda: 3)
    with Engine(frame_timeout_s=60) as engine:
        for frames, running in ((1, 1), (1, 1), (2, 2), (9, 3)):
            engine.expect(frames, 1, ["json"])
            assert len(children()) == running


def test_with_room_for_one_process_the_work_runs_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cacapp.engine.engine.processes", lambda: 1)
    with Engine() as engine:
        engine.expect(9, ENOUGH_PX, ["this"])
        assert [o.result for o in engine.run(own_id, [1])] == [os.getpid()]
        assert [o.result for o in engine.run(own_id, [1], apart=True)] == children() != [os.getpid()]


def test_an_engine_that_is_given_stays_and_one_that_is_made_ends() -> None:
    with Engine(1) as given:
        with engine_or_new(given) as same:
            assert same is given
            list(same.run(own_id, [1]))
        assert len(children()) == 1
    with engine_or_new(None) as own:
        list(own.run(own_id, [1], apart=True))
        assert len(children()) == 1
    assert children() == []
