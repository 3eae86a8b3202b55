"""Within a lane people take turns; nobody has more than their share, and everybody knows how many come before them."""

from __future__ import annotations

import threading

import pytest

from cacapp.review import lanes
from cacapp.review.lanes import Busy, Lane


def test_people_take_turns_however_much_one_of_them_asks_for() -> None:
    lane, begun, gate = Lane("test", 1, 1), [], threading.Event()
    first = lane.submit("ann", gate.wait)
    while not first.running():
        pass
    asked = [lane.submit(who, lambda who=who, n=n: begun.append((who, n))) for who, n in [("ann", 1), ("ann", 2), ("ann", 3), ("bob", 1)]]
    assert [lane.ahead(one) for one in asked] == [0, 2, 3, 1]
    gate.set()
    for one in (first, *asked):
        one.result(10)
    assert begun.index(("bob", 1)) <= 1
    assert [one for one in begun if one[0] == "ann"] == [("ann", 1), ("ann", 2), ("ann", 3)]


def test_one_person_never_has_all_threads() -> None:
    lane, gate = Lane("test", 3, 2), threading.Event()
    anns = [lane.submit("ann", gate.wait) for _ in range(5)]
    assert lane.submit("bob", lambda: "done").result(10) == "done"
    assert sum(one.running() for one in anns) <= 2
    gate.set()
    assert all(one.result(10) for one in anns)


def test_work_that_nobody_waits_for_any_more_is_not_begun_and_a_full_queue_is_said() -> None:
    lane, begun, gate = Lane("test", 1, 1, max_waiting=2), [], threading.Event()
    running = lane.submit("ann", gate.wait)
    while not running.running():
        pass
    given_up = lane.submit("ann", lambda: begun.append("given up"))
    lane.submit("ann", lambda: begun.append("second"))
    with pytest.raises(Busy, match="2 requests waiting"):
        lane.submit("ann", lambda: None)
    given_up.cancel()
    last = lane.submit("ann", lambda: begun.append("third"))
    gate.set()
    last.result(10)
    assert begun == ["second", "third"]


def test_what_fails_raises_where_it_is_awaited_and_threads_without_work_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "IDLE_S", 0.01)
    lane = Lane("ending", 2, 2)
    with pytest.raises(ZeroDivisionError):
        lane.submit("ann", lambda: 1 / 0).result(10)
    for thread in [t for t in threading.enumerate() if t.name == "review-ending"]:
        thread.join(10)
    assert lane.submit("ann", lambda: 1).result(10) == 1
