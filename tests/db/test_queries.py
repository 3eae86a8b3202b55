"""Questions: which runs they read, what they sum, and that they find their rows by index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event
from sqlmodel import Session

from cacapp.db import queries, slides
from cacapp.db.cells import calls
from cacapp.db.cells import nuclei as cells
from cacapp.db.cells.queries import cells as ask_cells
from cacapp.db.cells.tallies import call_groups
from cacapp.db.engine.session import Database
from cacapp.db.runs import ledger as runs
from cacapp.exceptions import CacappError, UsageError
from cacapp.fish.calls import Call
from cacapp.fish.patient import CallGroup
from cacapp.types import Instance, Shapes


def test_cells_show_their_place_counts_and_call(database: Database, filled: Any) -> None:
    with database.reading() as session:
        normal, cac, edge = ask_cells(session)
    assert (normal.patient, normal.slide, normal.frame, normal.label) == ("P1", "S1", "f1", 1)
    assert [cell.counts for cell in (normal, cac, edge)] == [
        {"aqua": 2, "green": 2, "gold": 2, "red": 2},
        {"aqua": 3, "green": 4, "gold": 2, "red": 2},
        {"aqua": 0, "green": 0, "gold": 1, "red": 2},
    ]
    assert [cell.class_ for cell in (normal, cac, edge)] == ["normal", "cac", None]
    assert [cell.is_cac for cell in (normal, cac, edge)] == [False, True, False]
    assert (normal.margin, cac.margin, cac.review_reason) == (1.5, None, "flagged")
    assert (edge.evaluable, edge.exclusion_reason) == (False, "touches the frame's edge")
    assert (edge.run_id, edge.segment_run_id, edge.cell_id) == (filled.count_id, filled.segment_id, filled.cell_ids[2])
    flat = cac.as_dict()
    assert {name: flat[name] for name in ("frame", "label", "y", "x", "area_px", "aqua", "green", "class", "is_cac", "evaluable")} == {
        "frame": "f1",
        "label": 2,
        "y": 50,
        "x": 35,
        "area_px": 318,
        "aqua": 3,
        "green": 4,
        "class": "cac",
        "is_cac": True,
        "evaluable": True,
    }


def test_cells_are_chosen_by_patient_slide_class_and_number(database: Database, filled: Any, fill_slide: Callable[..., Any]) -> None:
    fill_slide(database, "P2", "S0", "g1")
    with database.reading() as session:
        assert [cell.slide for cell in ask_cells(session)] == ["S0"] * 3 + ["S1"] * 3
        assert [cell.slide for cell in ask_cells(session, patient="P1")] == ["S1"] * 3
        assert [(cell.slide, cell.label) for cell in ask_cells(session, class_="cac")] == [("S0", 2), ("S1", 2)]
        assert [(cell.slide, cell.label) for cell in ask_cells(session, class_="normal", slide="S1")] == [("S1", 1)]
        assert [(cell.slide, cell.label) for cell in ask_cells(session, limit=4)] == [("S0", 1), ("S0", 2), ("S0", 3), ("S1", 1)]
        assert [(cell.slide, cell.label) for cell in ask_cells(session, class_="cac", limit=1)] == [("S0", 2)]
        assert ask_cells(session, limit=0) == ask_cells(session, class_="gain") == []
        with pytest.raises(CacappError, match="no patient P9"):
            ask_cells(session, patient="P9")
        with pytest.raises(CacappError, match="no slide S9"):
            ask_cells(session, slide="S9")
        with pytest.raises(CacappError, match="no slide S0 of patient P1"):
            ask_cells(session, slide="S0", patient="P1")
        with pytest.raises(UsageError, match="--limit"):
            ask_cells(session, limit=-1)


def test_cells_come_from_the_latest_succeeded_count_unless_told(database: Database, filled: Any) -> None:
    with database.session() as session:
        again = {"step": "count", "slide_id": filled.slide_id, "app_version": "1", "source_run_id": filled.segment_id}
        second, third = (runs.start_run(session, fingerprint=name, **again).id for name in ("d", "e"))  # type: ignore[arg-type]
        for run_id, n in ((second, 5), (third, 6)):
            calls.write_counts(session, run_id, filled.cell_ids, np.full((3, 4), n))
            calls.write_calls(session, run_id, filled.cell_ids, [Call("cac", None, False, None, False, None, True)] * 3)
        runs.finish_run(session, second)
    with database.reading() as session:
        assert [cell.counts["red"] for cell in ask_cells(session)] == [5, 5, 5]
        assert [cell.counts["red"] for cell in ask_cells(session, run_id=third)] == [6, 6, 6]
        assert [cell.class_ for cell in ask_cells(session, run_id=filled.count_id)] == ["normal", "cac", None]
        assert [cell.counts for cell in ask_cells(session, run_id=filled.segment_id)] == [{}, {}, {}]
        with pytest.raises(CacappError, match="no run 99"):
            ask_cells(session, run_id=99)


def test_a_slide_segmented_and_not_counted_shows_its_cells_without_calls(database: Database, make_source: Callable[..., Any]) -> None:
    with database.session() as session:
        slide = slides.register_slide(session, "P1", "S1")
        frame = slides.add_frame(session, slide, make_source())
        assert frame is not None
        run_id = runs.start_run(session, step="segment", slide_id=slide.id or 0, fingerprint="x", app_version="1").id
        one = np.ones(1)
        shapes = Shapes(one, one, one, one, one, one > 0)
        cells.write_cells(
            session, run_id, frame.id or 0, [Instance((1, 2, 1, 1), one[None] > 0)], shapes, one[None].repeat(2, 1), None, ["edge"]
        )
        assert ask_cells(session) == []  # a run that is not finished is not read
        runs.finish_run(session, run_id)
        (cell,) = ask_cells(session)
        assert (cell.counts, cell.class_, cell.is_cac, cell.run_id, cell.evaluable, cell.exclusion_reason) == (
            {},
            None,
            False,
            None,
            False,
            "edge",
        )
        assert ask_cells(session, class_="cac") == []


def test_cells_with_the_same_call_are_a_group(database: Database, filled: Any, fill_slide: Callable[..., Any]) -> None:
    other = fill_slide(database, "P1", "S2", "g1")
    with database.session() as session:
        made = (("cac", "balanced_polyploid", True), ("cac", None, True), ("loss", None, False))
        polyploid = [Call(*call, None, False, None, True) for call in made]
        calls.write_calls(session, other.count_id, other.cell_ids, polyploid)
        groups = call_groups(session, [filled.count_id, other.count_id])
        assert call_groups(session, []) == []
    edge = "touches the frame's edge"
    assert sorted(groups, key=str) == sorted(
        [
            CallGroup("normal", None, False, True, None, False, 1),
            CallGroup("cac", None, True, True, None, True, 1),
            CallGroup("cac", None, True, True, None, False, 1),
            CallGroup("cac", "balanced_polyploid", True, True, None, False, 1),
            CallGroup("loss", None, False, True, None, False, 1),
            CallGroup(None, None, False, False, edge, False, 1),
        ],
        key=str,
    )


def test_patients_show_the_latest_result_and_those_without_one(database: Database, filled: Any, make_result: Callable[..., Any]) -> None:
    with database.session() as session:
        patient_id = queries.patient_of(session, "P1").id
        calls.write_patient_result(session, make_result(filled.segment_id, patient_id, 7))
        calls.write_patient_result(session, make_result(filled.count_id, patient_id, 7))
        calls.write_patient_result(session, make_result(filled.count_id, patient_id, 2))
        slides.register_slide(session, "P0", "S0")
    with database.reading() as session:
        first, second = queries.patients(session)
    assert (first.patient.code, first.slides, first.frames, first.result) == ("P0", 1, 0, None)
    assert second.result is not None
    assert (second.patient.code, second.slides, second.frames, second.result.cacs) == ("P1", 1, 1, 2)
    assert second.result.classes == {"normal": 1, "cac": 2}


def test_the_latest_result_is_one_for_each_assay_the_newest_first(
    database: Database, filled: Any, fill_slide: Callable[..., Any], make_result: Callable[..., Any]
) -> None:
    other = fill_slide(database, "P2", "S2", "g1")
    with database.session() as session:
        first, second = (queries.patient_of(session, code).id for code in ("P1", "P2"))
        for run_id, patient_id, cacs, assay in (
            (filled.segment_id, first, 15, "katz-4color"),
            (filled.count_id, first, 5, "strict"),
            (other.segment_id, second, 1, "strict"),
            (other.count_id, second, 2, "strict"),
        ):
            calls.write_patient_result(session, make_result(run_id, patient_id, cacs, assay))
    with database.reading() as session:
        assert [[(r.assay, r.cacs) for r in p.results] for p in queries.patients(session)] == [
            [("strict 1", 5), ("katz-4color 1", 15)],
            [("strict 1", 2)],
        ]
        assert [r.cacs for r in queries.latest_results(session, first)] == [5, 15]


def test_slides_and_runs_are_listed(database: Database, filled: Any) -> None:
    with database.reading() as session:
        (slide,) = queries.slides(session, ["S1"])
        assert (slide.slide.barcode, slide.patient, slide.frames) == ("S1", "P1", 1)
        assert [(run.run.id, run.run.step, run.slide, run.patient, run.frames) for run in queries.runs(session)] == [
            (filled.count_id, "count", "S1", "P1", {"done": 1}),
            (filled.segment_id, "segment", "S1", "P1", {"done": 1}),
        ]
        assert [run.run.id for run in queries.runs(session, limit=1)] == [filled.count_id]
        with pytest.raises(UsageError, match="no slide S9"):
            queries.runs(session, slide="S9")


BIG = ("cell", "cell_call", "signal", "signal_count", "run_frame")


@pytest.mark.parametrize(
    "question",
    [
        queries.patients,
        lambda session: ask_cells(session, patient="P1", class_="cac"),
        lambda session: ask_cells(session, slide="S1"),
        lambda session: ask_cells(session, limit=5),
        lambda session: call_groups(session, [2]),
        lambda session: cells.read_cells(session, 1, 1),
        lambda session: calls.write_counts(session, 2, [1, 2], np.zeros((2, 4), int)),
    ],
)
def test_no_question_reads_a_big_table_from_end_to_end(
    database: Database, fill_slide: Callable[..., Any], question: Callable[[Session], object]
) -> None:
    for number in range(4):
        fill_slide(database, f"P{number}", f"S{number}", f"f{number}")
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "DELETE")):
            asked.append((statement, parameters[0] if many else parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    with database.session() as session:
        question(session)
    event.remove(database.engine, "before_cursor_execute", note)
    assert asked
    on_sqlite = database.engine.dialect.name == "sqlite"
    with database.engine.connect() as connection:
        if not on_sqlite:  # the planner prefers a scan on tables this small, if it has the choice
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for statement, parameters in asked:
            explain = "EXPLAIN QUERY PLAN " if on_sqlite else "EXPLAIN "
            plan = [row[-1].strip() for row in connection.exec_driver_sql(explain + statement, parameters)]
            scan = (lambda line, table: line == f"SCAN {table}") if on_sqlite else (lambda line, table: f"Seq Scan on {table} " in line)
            assert not [line for line in plan for table in BIG if scan(line, table)], (statement, plan)
