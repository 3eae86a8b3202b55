"""Step ``prune``: delete superseded runs with their results, and compact the database."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cacapp.db.engine.session import Database
from cacapp.db.runs.superseded import Superseded, delete_headers, delete_run, size_bytes, superseded
from cacapp.runs.progress import Progress, Silent


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What was deleted, or would be.

    Attributes:
        runs: the runs, latest first.
        rows: deleted rows by table, those with any.
        done: whether they were deleted.
        bytes_before, bytes_after: size of the database; the same where nothing is done.
        seconds: wall time, s.
    """

    runs: tuple[Superseded, ...]
    rows: dict[str, int]
    done: bool
    bytes_before: int
    bytes_after: int
    seconds: float


def prune(db: Database, *, delete: bool, progress: Progress | None = None) -> PruneReport:
    """Delete the superseded runs in one transaction and compact the database, or return what would be deleted.

    ``cacapp.db.runs.superseded`` says which runs are superseded. Reports that were printed from a deleted run can no longer be traced to
    its cells; those of each patient's latest result, and signed ones, can.

    Raises:
        CacappError: another program uses the database or refers to one of the runs; nothing is deleted then.
    """
    progress = progress or Silent()
    start = time.perf_counter()
    with db.reading() as session:
        before = size_bytes(session)
        runs = superseded(session.connection())
        rows: dict[str, int] = {}
        if not delete:
            progress.start("count rows", len(runs))
            for run in runs:
                _add(rows, delete_run(session.connection(), run, count_only=True))
                progress.advance(f"run {run.run_id}")
            return PruneReport(tuple(runs), rows, False, before, before, time.perf_counter() - start)
    if runs:
        with db.rebuilding() as connection:
            runs = superseded(connection)  # repeated: the database may have changed
            progress.start("prune", len(runs))
            for run in runs:
                _add(rows, delete_run(connection, run))
                progress.advance(f"run {run.run_id}")
            delete_headers(connection, [run.run_id for run in runs])
    progress.start("compact", 1)
    db.compact()
    progress.advance()
    with db.reading() as session:
        after = size_bytes(session)
    return PruneReport(tuple(runs), rows, True, before, after, time.perf_counter() - start)


def _add(total: dict[str, int], rows: dict[str, int]) -> None:
    for name, n in rows.items():
        if n:
            total[name] = total.get(name, 0) + n
