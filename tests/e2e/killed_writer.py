"""A program that does one action of the review in a child process and kills that child with signal 9 inside the transaction.

It reads orders as lines of JSON on stdin and answers each with a line: forking a process that has loaded everything takes milliseconds.
Order: ``url``, ``action``, and either ``statement`` (the child kills itself before this statement of the transaction, or at its commit) or
``after_s`` (it is killed that long after the transaction began, wherever it is then); with neither it is left alone.
Answer: ``signal`` that ended the child (0: none), ``statements`` begun, ``began`` and ``committed``, and ``seconds`` of the transaction.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import Any

from sqlalchemy import event
from sqlmodel import Session, col
from sqlmodel import select as select_rows

from cacapp.db.cells.states import called_cells
from cacapp.db.engine.session import Database, open_database
from cacapp.db.engine.transactions import READ_ONLY
from cacapp.db.queries import latest_run_ids, newest_result
from cacapp.db.review.readings import last_review_id, latest_sign_offs
from cacapp.db.tables import Patient, Slide
from cacapp.steps.review.carry_over import carry_over
from cacapp.steps.review.decide import Action, decide
from cacapp.steps.review.sign import amend, sign

ACTIONS = ("decide", "sign", "amend", "carry over")
LONGEST_S = 60


def act(db: Database, action: str) -> None:
    """Do the action as a person would who has looked at the newest state."""
    with db.reading() as session:
        patient, slide = session.exec(select_rows(Patient)).one(), session.exec(select_rows(Slide).order_by(col(Slide.id))).first()
        assert slide is not None
        run_id = latest_run_ids(session, "count", [slide.id])[slide.id]
        cell = next(c.cell_id for c in called_cells(session, run_id) if c.flagged)
        result = newest_result(session, patient.id)
        assert result is not None
        seen = last_review_id(session, result.count_run_ids)
        signed = latest_sign_offs(session, [patient.id]).get(patient.id)
    if action == "decide":
        decide(db, "anna", cell, Action("accept"), run_id=run_id, seen=0, key="the-key-of-this-decision")
    elif action == "sign":
        sign(db, patient.id, "paula", run_id=result.run_id, seen=seen)
    elif action == "amend":
        assert signed is not None
        amend(db, patient.id, signed[0].id, "paula", "once more")
    else:
        carry_over(db, run_id, "bert")


def child(order: dict[str, Any], tell: int) -> None:
    """Do the action; report each step of its transaction, one byte a step, and stop where the order says so."""
    db = open_database(order["url"], create=False)
    stop: int | None = order.get("statement")
    done = 0

    def step(sign: bytes) -> None:
        os.write(tell, sign)

    @event.listens_for(db.engine, "begin")
    def begin(connection: Any) -> None:
        if not connection.get_execution_options().get(READ_ONLY):
            step(b"b")

            @event.listens_for(connection, "before_cursor_execute")
            def execute(*_: Any) -> None:
                nonlocal done
                if done == stop:
                    os.kill(os.getpid(), signal.SIGKILL)
                done += 1
                step(b"s")

    @event.listens_for(db.engine, "commit")
    def commit(connection: Any) -> None:
        if not connection.get_execution_options().get(READ_ONLY) and stop is not None:
            os.kill(os.getpid(), signal.SIGKILL)  # the last moment before

    @event.listens_for(Session, "after_commit")
    def committed(_: Any) -> None:
        step(b"c")

    act(db, order["action"])
    step(b"e")
    if "after_s" in order:
        time.sleep(LONGEST_S)  # it is killed here, after its transaction


def obey(order: dict[str, Any]) -> dict[str, Any]:
    """Start the child, kill it where the order gives a time, and return how it ended."""
    hear, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(hear)
            child(order, tell)
            code = 0
        finally:
            os._exit(code)
    os.close(tell)
    told, began = b"", 0.0
    seconds = 0.0
    kill_at: float | None = None
    while True:
        wait_s = LONGEST_S if kill_at is None else max(0.0, kill_at - time.monotonic())
        if not select.select([hear], [], [], wait_s)[0]:
            os.kill(pid, signal.SIGKILL)
            kill_at = None
            continue
        new = os.read(hear, 4096)
        if not new:
            break
        if b"b" in new and not began:
            began = time.monotonic()
            kill_at = began + order["after_s"] if "after_s" in order else None
        if b"c" in new:
            seconds = time.monotonic() - began
        told += new
    os.close(hear)
    ended = os.waitpid(pid, 0)[1]
    return {
        "signal": os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else 0,
        "code": os.WEXITSTATUS(ended) if os.WIFEXITED(ended) else None,
        "statements": told.count(b"s"),
        "began": b"b" in told,
        "committed": b"c" in told,
        "seconds": seconds,
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), flush=True)
