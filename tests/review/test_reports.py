"""Reports are built in child processes, one after the other for each person; who loses access gets none, not even one in work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from cacapp.db.review.readings import events
from cacapp.exceptions import CacappError
from cacapp.review import reports as module
from cacapp.review.authorisation import NotLoggedIn
from cacapp.steps.review.accounts import set_active
from tests.review.conftest import Browser, Record

pytestmark = pytest.mark.sqlite_only
Visit = Callable[..., Browser]


class Child:
    """A child process that builds when it is let, and says when it was killed."""

    def __init__(self) -> None:
        self.let, self.killed = threading.Event(), False

    def ask(self, _op: str, meta: Mapping[str, Any], at_most: int) -> tuple[dict[str, Any], dict[str, Any]]:
        assert at_most > 0
        assert self.let.wait(30)
        if self.killed:
            raise CacappError("its process was killed")
        return {}, {"report": np.frombuffer(f"report {meta['patient_id']}".encode(), np.uint8)}

    def close(self) -> None:
        self.killed = True
        self.let.set()


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Child]:
    made: list[Child] = []

    def start(*_: Any, **__: Any) -> Child:
        made.append(Child())
        return made[-1]

    monkeypatch.setattr(module, "ChildProcess", start)
    monkeypatch.setattr(module, "CHECK_S", 0.01)
    monkeypatch.setattr("cacapp.review.pages.report.WAIT_S", 0.05)
    return made


def test_the_place_in_the_queue_is_shown_and_pages_go_on(staffed: Record, visit: Visit, children: list[Child]) -> None:
    browser, patient = visit("viewer"), f"/patients/{staffed.patient_id}"
    assert browser.get(f"{patient}/report/place").status_code == 404
    first = browser.get(f"{patient}/report")
    assert (first.status_code, "It is being built" in first.text, first.headers["retry-after"]) == (202, True, "2")
    second = browser.get(f"{patient}/report.pdf")
    assert (second.status_code, "Number 1 in the queue" in second.text) == (202, True)
    assert browser.get(f"{patient}/report.pdf", headers={"Accept": "*/*"}).json()["place"] == 1
    assert browser.get(f"{patient}/report/place?pdf=true").json() == {"ready": False, "place": 1}
    assert browser.get("/").status_code == 200
    children[0].let.set()
    assert browser.report(f"{patient}/report").text == browser.report(f"{patient}/report.pdf").text == "report 1"
    assert len(children) == 1  # the other process stays free for other people
    with staffed.db.reading() as session:
        assert [e.action for e in events(session, limit=2)] == ["report taken as PDF", "report shown"]


def test_two_people_do_not_wait_for_each_other_and_each_gets_their_own(staffed: Record, visit: Visit, children: list[Child]) -> None:
    one, two, path = visit("viewer"), visit("reviewer"), f"/patients/{staffed.patient_id}/report"
    assert [b.get(path).status_code for b in (one, two)] == [202, 202]
    children[1].let.set()
    assert two.report(path).text == "report 1"
    assert one.get(path).status_code == 202
    children[0].let.set()
    assert one.report(path).text == "report 1"


def test_a_report_in_work_ends_with_the_account(staffed: Record, visit: Visit, children: list[Child]) -> None:
    browser, path = visit("reviewer"), f"/patients/{staffed.patient_id}/report"
    browser.get(path)
    (job,) = browser.app.state.reports._jobs.values()  # type: ignore[attr-defined]
    set_active(staffed.db, "reviewer", False, "test")
    with pytest.raises(NotLoggedIn):
        job.built.result(30)
    assert children[0].killed
    assert browser.get(path).status_code == 303
    with staffed.db.reading() as session:
        assert "report shown" not in {e.action for e in events(session)}


def test_a_report_that_waited_long_is_kept_and_one_that_nobody_takes_is_not(
    staffed: Record, visit: Visit, children: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, path = visit("viewer"), f"/patients/{staffed.patient_id}/report"
    moment = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: moment[0])
    browser.get(path)
    reports = browser.app.state.reports  # type: ignore[attr-defined]
    (job,) = reports._jobs.values()
    moment[0] += 10 * module.KEEP_S  # in the queue
    children[0].let.set()
    job.built.result(30)
    while job.ready_at is None:
        pass  # it is noted just after the result
    visit("reviewer").get(path)
    assert job in reports._jobs.values()
    moment[0] += 2 * module.KEEP_S
    visit("second").get(path)
    assert job not in reports._jobs.values()
