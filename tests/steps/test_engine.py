"""Per-frame work in processes: a failure, even a killed process, costs its item only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cacapp.engine import Engine
from cacapp.errors import CacappError


def halve(n: int) -> int:
    if n % 2:
        raise CacappError(f"{n} is odd")
    return n // 2


def halve_or_die(n: int) -> int:
    if n == 4:
        os._exit(9)
    return halve(n)


def own_id(_: int) -> int:
    return os.getpid()


def bug(n: int) -> int:
    raise ZeroDivisionError(n)


def test_errors_of_the_user_are_outcomes_and_bugs_are_not() -> None:
    outcomes = list(Engine().run(halve, [2, 3, 4]))
    assert [(o.result, o.error) for o in outcomes] == [(1, None), (None, "3 is odd"), (2, None)]
    with pytest.raises(ZeroDivisionError):
        list(Engine().run(bug, [1]))


def test_processes_give_the_same_outlive_a_crash_and_are_kept(tmp_path: Path) -> None:
    with Engine(2) as engine:
        first = {o.result for o in engine.run(own_id, range(8))}
        second = {o.result for o in engine.run(own_id, range(8))}
        assert os.getpid() not in first
        assert second <= first
        outcomes = {o.item: o for o in engine.run(halve_or_die, range(7))}
    assert {n: o.result for n, o in outcomes.items()} == {0: 0, 1: None, 2: 1, 3: None, 4: None, 5: None, 6: 3}
    assert "odd" in (outcomes[3].error or "")
    assert "killed or crashed" in (outcomes[4].error or "")
