"""A slide is counted or segmented again: reviews go on to the nuclei that are the same, a person is asked for the others."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacapp.db.cells.nuclei import read_cells, write_cells
from cacapp.db.cells.places import places
from cacapp.db.cells.states import dots_of_cells, machine_states
from cacapp.db.queries import latest_run_ids
from cacapp.db.review.readings import reviews, valid_reviews
from cacapp.db.runs.ledger import finish_run, frames_in_state, record_frame, start_run
from cacapp.db.tables import Run
from cacapp.exceptions import UsageError
from cacapp.fish.assay.read import load_assay
from cacapp.results.carry_over import CarryOver, plan_carry_over
from cacapp.results.reviewed import state_of
from cacapp.steps.review.carry_over import carry_over, leave_behind
from cacapp.steps.review.decide import Action, ConflictError, decide
from cacapp.types import Shapes
from tests.review.conftest import Record

Cacapp = Callable[..., Any]


def again(cacapp: Cacapp, record: Record, *options: object) -> int:
    """Segments and counts the slide anew; returns the new count run."""
    assert cacapp("segment", "S1", "--force", "--quiet", *options).code == 0
    assert cacapp("count", "S1", "--quiet").code == 0
    with record.db.reading() as session:
        return latest_run_ids(session, "count", [record.slide_id])[record.slide_id]


def segmented_beside(record: Record, only: frozenset[int] | None = None) -> None:
    """A segmentation run whose nuclei, or ``only`` these cells, lie beside the old ones: none of them is half of an old one."""
    with record.db.session() as session:
        counted = session.get_one(Run, record.run_id)
        old = session.get_one(Run, counted.source_run_id)
        run = start_run(
            session, step="segment", slide_id=record.slide_id, fingerprint="beside", app_version="test", algorithms=old.algorithms
        )
        assert run.id is not None
        assert old.id is not None
        for frame in frames_in_state(session, old.id, "done"):
            assert frame.id is not None
            cells = read_cells(session, old.id, frame.id)
            moved = []
            for cell in cells:
                x, y, w, h = cell.instance.bbox_xywh
                aside = x + round(0.6 * w) if x + 1.6 * w < frame.width_px else x - round(0.6 * w)
                if only is not None and cell.id not in only:
                    aside = x
                moved.append(replace(cell.instance, bbox_xywh=(aside, y, w, h)))
            names = ("area_px", "length_px", "width_px", "roundness", "solidity")
            columns = [np.array([getattr(c, name) for c in cells], float) for name in names]
            shapes = Shapes(*columns, np.zeros(len(cells), bool), frame.pixel_size_um)
            write_cells(session, run.id, frame.id, moved, shapes, np.array([c.centroid_yx for c in cells]))
            record_frame(session, run.id, frame.id, "done")
        finish_run(session, run.id)


def plan(record: Record, run_id: int) -> CarryOver | None:
    with record.db.reading() as session:
        return plan_carry_over(session, session.get_one(Run, run_id))


def centre(record: Record, cell_id: int) -> tuple[int, int, int]:
    with record.db.reading() as session:
        place = places(session, [cell_id])[cell_id]
    return place.frame_id, round(place.y_px), round(place.x_px)


@pytest.mark.slow
def test_the_same_nuclei_take_over_class_edits_and_reasons(counted: Cacapp, record: Record) -> None:
    one, two = record.flagged()
    normal = record.of_class("normal")
    with record.db.reading() as session:
        dot = next(d for d in dots_of_cells(session, record.run_id, [two.cell_id])[two.cell_id] if d.counted)
        own = dots_of_cells(session, record.run_id, [normal.cell_id])[normal.cell_id][0]
    record.decide("anna", one.cell_id, "not_evaluable", reason="aggregate")
    record.decide("anna", two.cell_id, "signal_removed", channel=dot.channel, number=dot.number)
    record.decide("anna", normal.cell_id, "signal_added", channel="red", y_px=own.y_px + 3.0, x_px=own.x_px)
    new = again(counted, record, "--segmenter", "coarse")
    found = plan(record, new)
    assert found is not None
    assert (found.from_run, len(found.ready), found.asked) == (record.run_id, 3, ())
    assert min(m.iou for m in found.ready) == 1.0
    with pytest.raises(ConflictError, match="counted again"):
        record.decide("anna", record.of_class("gain").cell_id, "accept")
    carry_over(record.db, new, "bert")
    assert plan(record, new) is None
    with record.db.reading() as session:
        carried = {centre(record, c): r for c, r in valid_reviews(session, new, "first").items()}
        old = {centre(record, c): r for c, r in valid_reviews(session, record.run_id, "first").items()}
    assert carried.keys() == old.keys()
    for place, review in carried.items():
        assert state_of(review).label == state_of(old[place]).label
        assert state_of(review).counts == state_of(old[place]).counts
        assert (review.reviewer, review.after["carried"]["reviewer"], review.after["carried"]["review"]) == ("bert", "anna", old[place].id)


@pytest.mark.slow
def test_without_a_matching_nucleus_a_person_decides_with_a_reason(counted: Cacapp, record: Record) -> None:
    one, two = record.flagged()
    for cell in (one, two):
        record.decide("anna", cell.cell_id, "accept")
    segmented_beside(record)
    assert counted("count", "S1", "--quiet").code == 0
    with record.db.reading() as session:
        new = latest_run_ids(session, "count", [record.slide_id])[record.slide_id]
    found = plan(record, new)
    assert found is not None
    assert (found.ready, [m.problem for m in found.asked]) == ((), ["no nucleus of the new run is the same"] * 2)
    carry_over(record.db, new, "bert")
    assert [m.new_cell for m in found.asked] == [None, None]
    for match in found.asked:
        assert match.review.id is not None
        leave_behind(record.db, new, match.review.id, "bert", "fell to pieces")
    assert plan(record, new) is None


def test_a_review_whose_signals_are_others_now_is_asked_about(counted: Cacapp, record: Record, tmp_path: Path) -> None:
    cell = record.flagged()[0]
    record.decide("anna", cell.cell_id, "accept")
    with record.db.reading() as session:
        weakest = min(d.snr for d in dots_of_cells(session, record.run_id, [cell.cell_id])[cell.cell_id] if d.counted)
    strict = load_assay("katz-4color").toml().replace('version = "2"', 'version = "2-strict"')
    strict = re.sub(r"min_snr = [\d.]+", f"min_snr = {weakest + 0.2:.1f}", strict)
    file = tmp_path / "strict.toml"
    file.write_text(strict)
    assert counted("count", "S1", "--quiet", "--assay", str(file)).code == 0
    with record.db.reading() as session:
        new = latest_run_ids(session, "count", [record.slide_id])[record.slide_id]
        assert (
            machine_states(session, new, [cell.cell_id])[cell.cell_id].counts
            != machine_states(session, record.run_id, [cell.cell_id])[cell.cell_id].counts
        )
    found = plan(record, new)
    assert found is not None
    (asked,) = found.asked
    assert (found.ready, asked.new_cell) == ((), cell.cell_id)
    assert "its signals are" in str(asked.problem)
    assert asked.review.id is not None
    with pytest.raises(UsageError, match="say why"):
        leave_behind(record.db, new, asked.review.id, "bert", " ")
    leave_behind(record.db, new, asked.review.id, "bert", "the strict assay sees other dots")
    assert plan(record, new) is None
    with record.db.reading() as session:
        (row,) = reviews(session, [new])
        assert (row.kind, row.reviewer, row.reason) == ("not_carried", "bert", "the strict assay sees other dots")
        assert valid_reviews(session, new, "first") == {}
    with pytest.raises(ConflictError, match="not waiting"):
        leave_behind(record.db, new, asked.review.id, "bert", "again")


def recount(cacapp: Cacapp, record: Record, *options: object) -> int:
    """Counts the slide anew; returns the run."""
    assert cacapp("count", "S1", "--force", "--quiet", *options).code == 0
    with record.db.reading() as session:
        return latest_run_ids(session, "count", [record.slide_id])[record.slide_id]


def offered(record: Record, run_id: int) -> list[tuple[Any, int]]:
    """The (run, cell) of each decision that the run is offered."""
    found = plan(record, run_id)
    return [] if found is None else sorted((m.review.run_id, m.review.cell_id) for m in (*found.ready, *found.asked))


def decide_in(record: Record, run_id: int, cell_id: int, kind: str, who: str = "anna", seen: int = 0, **more: Any) -> int:
    return decide(record.db, who, cell_id, Action(kind, **more), run_id=run_id, seen=seen).review.id


@pytest.mark.slow
def test_decisions_of_all_earlier_counts_are_offered_the_nearest_of_each_nucleus(counted: Cacapp, record: Record) -> None:
    one, two = (c.cell_id for c in record.flagged())
    three, four = [c.cell_id for c in record.cells if c.class_ == "normal"][:2]
    first = record.run_id
    record.decide("anna", one, "accept")
    record.decide("anna", two, "not_evaluable", reason="aggregate")
    record.decide("anna", three, "class", class_="gain")
    second = recount(counted, record)
    decide_in(record, second, three, "comment", "bert", reason="looked at once more")
    assert offered(record, second) == sorted([(first, one), (first, two), (first, three)]), "a comment is no decision"
    decide_in(record, second, two, "accept", "bert")
    third = recount(counted, record)
    decide_in(record, third, four, "comment", "bert", reason="small")
    assert offered(record, third) == sorted([(second, two), (first, one), (first, three)])
    fourth = recount(counted, record)
    assert offered(record, fourth) == sorted([(second, two), (first, one), (first, three)])
    carry_over(record.db, fourth, "bert")
    assert offered(record, fourth) == []
    fifth = recount(counted, record)
    assert offered(record, fifth) == sorted([(fourth, one), (fourth, two), (fourth, three)]), "each once, as carried over"


def test_a_decision_that_was_undone_or_left_behind_later_does_not_come_back(counted: Cacapp, record: Record) -> None:
    one, two = (c.cell_id for c in record.flagged())
    record.decide("anna", one, "class", class_="normal")
    second = recount(counted, record)
    carry_over(record.db, second, "bert")
    with record.db.reading() as session:
        (carried,) = reviews(session, [second])
    decide_in(record, second, one, "undo", "bert", carried.id)
    mine = decide_in(record, second, two, "accept", "bert")
    decide_in(record, second, two, "undo", "bert", mine)
    assert offered(record, second) == []
    assert offered(record, recount(counted, record)) == []


def test_a_decision_of_the_new_count_that_was_undone_brings_the_earlier_one_back(counted: Cacapp, record: Record) -> None:
    one, _ = (c.cell_id for c in record.flagged())
    record.decide("anna", one, "class", class_="normal")
    second = recount(counted, record)
    mine = decide_in(record, second, one, "accept", "bert")
    assert offered(record, second) == []
    decide_in(record, second, one, "undo", "bert", mine)
    assert offered(record, second) == [(record.run_id, one)]


def test_an_assay_that_would_call_it_otherwise_or_lacks_the_class_asks_a_person(counted: Cacapp, record: Record) -> None:
    one, _ = (c.cell_id for c in record.flagged())
    gain = record.of_class("gain").cell_id
    normal = record.of_class("normal").cell_id
    record.decide("anna", one, "accept")
    record.decide("anna", gain, "accept")
    record.decide("anna", normal, "class", class_="loss")
    second = recount(counted, record, "--assay", "any-gain")
    found = plan(record, second)
    assert found is not None
    asked = {m.review.cell_id: m.problem for m in found.asked}
    assert "by the assay of the new run" in str(asked[gain]) or "none of the assay of the new run" in str(asked[gain])


def test_what_was_not_carried_over_is_listed_by_the_tables(counted: Cacapp, record: Record) -> None:
    one, _ = (c.cell_id for c in record.flagged())
    record.decide("anna", one, "accept")
    segmented_beside(record, frozenset({one}))
    recount(counted, record)
    (found,) = counted("patients", "--json").json
    first, second = found["review"]["earlier_decisions"]
    assert first.startswith("slide S1: 1 decision of earlier counts not carried over yet: 0 fit the latest count, 1 need a person")
    assert second == f"slide S1, not carried over: cac, cell {one} of run 2, by anna: no nucleus of the new run is the same"
    assert "not carried over: cac" in " ".join(counted("patients").out.split())
