"""Runs that were cut short, and what the record says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text

from cacapp.db.engine.session import Database, open_database
from cacapp.runs.plan import SegmentPlan

Cacapp = Callable[..., Any]
WHO = ("--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100")
PLAN = SegmentPlan(segmenter="coarse")


def ledger(cacapp: Cacapp, run: int) -> dict[str, tuple[str, int]]:
    return {line["frame"]: (line["status"], line["attempts"]) for line in cacapp("runs", "show", run, "--json").json["ledger"]}


def with_database(url: str, work: Callable[[Database], Any]) -> Any:
    db = open_database(url)
    try:
        return work(db)
    finally:
        db.dispose()


def ask(url: str, query: str) -> Any:
    def scalar(db: Database) -> Any:
        with db.reading() as session:
            return session.execute(text(query)).scalar()

    return with_database(url, scalar)


def tell(url: str, statement: str) -> None:
    def execute(db: Database) -> None:
        with db.session() as session:
            session.execute(text(statement))

    with_database(url, execute)


def interrupted(cacapp: Cacapp, frames: Path, url: str, *options: str) -> None:
    """A run whose coordinator was killed before its second frame."""
    assert cacapp("run", frames, *WHO, "--segmenter", "coarse", "--no-report", *options).code == 0
    for table in ("contested_signal", "signal", "signal_count", "cell_call", "duplicate"):
        tell(url, f"DELETE FROM {table} WHERE run_id = 2")
    for statement in (
        "DELETE FROM stray_signal WHERE run_id = 2",
        "DELETE FROM patient_result",
        "DELETE FROM slide_quality",
        "DELETE FROM run_frame WHERE run_id = 2",
        "DELETE FROM run WHERE id = 2",
        "UPDATE run_frame SET status = 'pending', attempts = 0 WHERE frame_id = 2",
        "DELETE FROM verdict WHERE cell_id IN (SELECT id FROM cell WHERE frame_id = 2)",
        "DELETE FROM cell WHERE frame_id = 2",
        "UPDATE run SET status = 'running', finished_at = NULL",
        "UPDATE request SET status = 'open'",
    ):
        tell(url, statement)
