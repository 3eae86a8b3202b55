"""Content of a database without what differs from run to run: times, ids, owners and numbers of attempts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, create_engine, text

from cacapp.db.engine.location import locate
from cacapp.db.tables import Table

PASSING = {
    "id",
    "created_at",
    "added_at",
    "started_at",
    "finished_at",
    "seconds",
    "attempts",
    "owner",
    "beats",
    "request_id",
    "count_run_ids",
}
NOT_COMPARED = {"request", "alembic_version"}
OF_A_FRAME = ("cell", "stray_signal")
"""Tables whose rows of a run a frame brings along; the others hang on its cells."""


def opened(url: str) -> Engine:
    return create_engine(locate(url).url)


def content(url: str) -> dict[str, list[str]]:
    """Rows by table, each as text with its references by name, in a fixed order."""
    engine = opened(url)
    with engine.connect() as connection:
        tables = {t.name: connection.execute(t.select()).mappings().all() for t in Table.metadata.sorted_tables}
    engine.dispose()
    names: dict[str, dict[Any, Any]] = {
        "patient_id": {r["id"]: r["code"] for r in tables["patient"]},
        "slide_id": {r["id"]: r["barcode"] for r in tables["slide"]},
        "frame_id": {r["id"]: r["name"] for r in tables["frame"]},
        "run_id": {r["id"]: r["step"] for r in tables["run"]},
    }
    names["source_run_id"] = names["trained_from_run_id"] = names["run_id"]
    names["cell_id"] = {r["id"]: (names["frame_id"][r["frame_id"]], names["run_id"][r["run_id"]], r["label"]) for r in tables["cell"]}
    names["duplicate_of"] = names["other_cell_id"] = names["cell_id"]

    def row(values: Any) -> str:
        if values.get("source_run_id") is not None:  # its fingerprint holds the number of that run, an id
            values = dict(values) | {"fingerprint": None}
        return repr({k: names[k].get(v) if k in names and v is not None else v for k, v in values.items() if k not in PASSING})

    return {name: sorted(map(row, rows)) for name, rows in tables.items() if name not in NOT_COMPARED and rows}


def half_done(url: str) -> list[str]:
    """Frames whose results and ledger disagree: there though not done, done though not there, or there twice."""
    return list(_half_done(url))


def _half_done(url: str) -> Iterator[str]:
    engine = opened(url)
    with engine.connect() as connection:
        ledger = connection.execute(
            text("SELECT f.run_id, f.frame_id, f.status, r.step FROM run_frame f JOIN run r ON r.id = f.run_id")
        ).all()
        cells: dict[tuple[int, int], int] = {}
        for run, frame, n in connection.execute(text("SELECT run_id, frame_id, count(*) FROM cell GROUP BY run_id, frame_id")):
            cells[run, frame] = n
        calls: dict[tuple[int, int], int] = {}
        query = "SELECT k.run_id, c.frame_id, count(*) FROM cell_call k JOIN cell c ON c.id = k.cell_id GROUP BY k.run_id, c.frame_id"
        for run, frame, n in connection.execute(text(query)):
            calls[run, frame] = n
        counts: dict[tuple[int, int], int] = {}
        query = "SELECT k.run_id, c.frame_id, count(*) FROM signal_count k JOIN cell c ON c.id = k.cell_id GROUP BY k.run_id, c.frame_id"
        for run, frame, n in connection.execute(text(query)):
            counts[run, frame] = n
        twice = connection.execute(text("SELECT run_id, frame_id, label FROM cell GROUP BY run_id, frame_id, label HAVING count(*) > 1"))
        yield from (f"cell twice: {row}" for row in twice)
        runs = connection.execute(text("SELECT step, fingerprint FROM run GROUP BY step, fingerprint HAVING count(*) > 1")).all()
        yield from (f"run begun twice: {row}" for row in runs)
    engine.dispose()
    of_frame = {frame: n for (_, frame), n in cells.items()}
    for run, frame, status, step in ledger:
        there = cells.get((run, frame), 0) if step == "segment" else calls.get((run, frame), 0)
        whole = there == of_frame.get(frame, 0) and (step == "segment" or counts.get((run, frame), 0) == 4 * there)
        if (status == "done") != (there > 0) or (status == "done" and not whole):
            yield f"{step} run {run}, frame {frame}: {status} in the ledger, {there} cells or calls"
