"""The views that docs/sql.md names: one question each, the same on every kind of database, and the page's examples run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import inspect

from cacapp.db import queries
from cacapp.db.cells import calls
from cacapp.db.engine.session import Database, upgrade
from cacapp.db.runs import ledger as runs

Ask = Callable[..., list[tuple[Any, ...]]]
PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
EDGE = "touches the frame's edge"


def test_a_patient_has_one_row_for_each_assay_the_latest(
    database: Database, filled: Any, fill_slide: Callable[..., Any], make_result: Callable[..., Any], ask: Ask
) -> None:
    other = fill_slide(database, "P1", "S2", "g1")
    with database.session() as session:
        patient = queries.patient_of(session, "P1").id
        for run_id, cacs, assay in ((filled.segment_id, 3, "a"), (filled.count_id, 4, "a"), (other.count_id, 1, "b")):
            calls.write_patient_result(session, make_result(run_id, patient, cacs, assay))
    assert ask("SELECT patient, assay_name, assay_version, evaluable, cacs, cacs_per_100ul, verdict FROM v_patient_counts ORDER BY 2") == [
        ("P1", "a", "1", 2, 4, 4.0, "insufficient"),
        ("P1", "b", "1", 2, 1, 1.0, "insufficient"),
    ]
    assert ask("SELECT patient, assay_name, assay_version, class, cells FROM v_patient_classes ORDER BY 2, 4") == [
        ("P1", "a", "1", "cac", 4),
        ("P1", "a", "1", "normal", 1),
        ("P1", "b", "1", "cac", 1),
        ("P1", "b", "1", "normal", 1),
    ]


def test_cells_are_those_of_the_latest_finished_count(database: Database, filled: Any, ask: Ask) -> None:
    shown = "SELECT patient, slide, frame, label, y_px, x_px, area_px, class, margin, run_id, cell_id FROM v_cells ORDER BY label"
    first = [
        ("P1", "S1", "f1", 1, 50.0, 10.0, 317, "normal", 1.5),
        ("P1", "S1", "f1", 2, 50.0, 35.0, 318, "cac", None),
        ("P1", "S1", "f1", 3, 50.0, 60.25, 319, None, None),
    ]
    assert ask(shown) == [(*row, filled.count_id, cell) for row, cell in zip(first, filled.cell_ids, strict=True)]
    assert [(bool(a), bool(b), c) for a, b, c in ask("SELECT is_cac, evaluable, exclusion_reason FROM v_cells ORDER BY label")] == [
        (False, True, None),
        (True, True, None),
        (False, False, EDGE),
    ]
    copies = "SELECT channel, copies FROM v_cell_copies WHERE slide = 'S1' AND label = 2 ORDER BY channel"
    assert ask(copies) == [("aqua", 3), ("gold", 2), ("green", 4), ("red", 2)]
    with database.session() as session:
        again: dict[str, Any] = {"step": "count", "slide_id": filled.slide_id, "app_version": "1", "source_run_id": filled.segment_id}
        later = runs.start_run(session, fingerprint="d", **again).id
        calls.write_counts(session, later, filled.cell_ids, np.full((3, 4), 7))
    assert ask(copies)[0] == ("aqua", 3)  # not finished yet
    with database.session() as session:
        runs.finish_run(session, later)
    assert ask(copies) == [("aqua", 7), ("gold", 7), ("green", 7), ("red", 7)]
    assert ask(shown) == []  # the later count called no cell


def test_slide_runs_are_the_latest_finished_of_each_step(database: Database, filled: Any, ask: Ask) -> None:
    with database.session() as session:
        unfinished = runs.start_run(session, step="count", slide_id=filled.slide_id, fingerprint="d", app_version="1")
        assert unfinished.id > filled.count_id
    assert ask("SELECT patient, slide, step, run_id, status, frames, frames_done FROM v_slide_runs ORDER BY step") == [
        ("P1", "S1", "count", filled.count_id, "succeeded", 1, 1),
        ("P1", "S1", "segment", filled.segment_id, "succeeded", 1, 1),
    ]


def test_the_page_names_every_view_with_its_columns(database: Database, record_url: str) -> None:
    page = PAGE.read_text()
    rows = dict(re.findall(r"^\| `(v_\w+)` \|(.*)$", page, re.MULTILINE))
    with database.reading() as session:
        found = inspect(session.connection())
        assert set(found.get_view_names()) == set(rows)
        for view, text in rows.items():
            names = set(re.findall(r"`(\w+)`", text.replace("with `_low` and `_high`", "`cacs_per_100ul_low` `cacs_per_100ul_high`")))
            assert {c["name"] for c in found.get_columns(view)} - {"patient", "slide", "frame", "label"} == names, view


def test_the_examples_of_the_page_run(database: Database, filled: Any, make_result: Callable[..., Any], ask: Ask) -> None:
    with database.session() as session:
        calls.write_patient_result(session, make_result(filled.count_id, 1))
    patients, cacs = re.findall(r"^```sql\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert ask(patients.rstrip(";\n")) == [("P1", "katz-4color", 2, 1, 1.0, None, None, "insufficient")]
    assert ask(cacs.rstrip(";\n")) == [("P1", "S1", "f1", 2, 2, 4)]


def test_the_views_go_with_the_schema_that_has_them(database: Database, filled: Any, record_url: str, ask: Ask) -> None:
    before = ask("SELECT * FROM v_cells ORDER BY label")
    database.dispose()
    upgrade(record_url, "0007")
    with database.reading() as session:
        assert inspect(session.connection()).get_view_names() == []
    database.dispose()
    upgrade(record_url)
    assert ask("SELECT * FROM v_cells ORDER BY label") == before
