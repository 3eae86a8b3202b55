"""Pseudo-labels are kept with every reason and every prompt algorithm that agrees, and counted by the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cacapp.db.cells import pseudo_labels as p
from cacapp.db.cells.nuclei import read_cells
from cacapp.db.cells.places import instances_of, places_in_frame
from cacapp.db.engine.session import Database
from cacapp.db.runs.ledger import finish_run, start_run
from cacapp.exceptions import CacappError, UsageError

JUDGED = [
    p.Judgement(True, (), ("watershed", "split-merge")),
    p.Judgement(False, ("single-cell: not round", "agreed by 1 of 2 prompt algorithms (watershed), 2 wanted"), ("watershed",)),
    p.Judgement(False, ("agreed by 1 of 2 prompt algorithms (split-merge), 2 wanted",), ("split-merge",)),
]
Filled = Any


def write(database: Database, filled: Filled, judged: list[p.Judgement] | None = None) -> int:
    with database.session() as session:
        run = start_run(session, step=p.STEP, slide_id=filled.slide_id, fingerprint="p", app_version="1", source_run_id=filled.segment_id)
        p.write_pseudo_labels(session, run.id, filled.frame_id, filled.cell_ids, judged or JUDGED)
        finish_run(session, run.id)
        return run.id


def test_judgements_come_back_with_their_cells(database: Database, filled: Filled) -> None:
    run_id = write(database, filled)
    with database.reading() as session:
        found = p.read_pseudo_labels(session, p.pseudo_label_run(session, run_id), filled.frame_id)
        cells = read_cells(session, filled.segment_id, filled.frame_id)
    assert [r.judgement for r in found] == JUDGED
    assert [r.cell.id for r in found] == filled.cell_ids
    assert all(np.array_equal(r.instance.mask, c.instance.mask) for r, c in zip(found, cells, strict=True))


def test_a_second_attempt_replaces_the_first(database: Database, filled: Filled) -> None:
    run_id = write(database, filled)
    with database.session() as session:
        p.write_pseudo_labels(session, run_id, filled.frame_id, filled.cell_ids, [p.Judgement(True)] * 3)
    with database.reading() as session:
        assert p.pseudo_label_stats(session, [run_id]).accepted == 3


def test_two_runs_judge_the_same_cells_apart(database: Database, filled: Filled) -> None:
    one, two = write(database, filled), write(database, filled, [p.Judgement(True)] * 3)
    with database.reading() as session:
        assert [p.accepted_count(session, [run]) for run in (one, two)] == [1, 3]
        assert p.accepted_count(session, [one, two]) == 4


def test_places_of_a_frame_are_its_cells_with_masks_to_decode(database: Database, filled: Filled) -> None:
    with database.reading() as session:
        found = places_in_frame(session, filled.segment_id, filled.frame_id)
        cells = read_cells(session, filled.segment_id, filled.frame_id)
        assert places_in_frame(session, filled.segment_id, 999) == []
    assert instances_of([]) == ()
    assert [place.cell_id for place in found] == [c.id for c in cells]
    for instance, cell in zip(instances_of(found), cells, strict=True):
        assert instance.bbox_xywh == cell.instance.bbox_xywh
        assert np.array_equal(instance.mask, cell.instance.mask)


def test_reasons_are_counted_whichever_algorithms_agreed(database: Database, filled: Filled) -> None:
    run_id = write(database, filled)
    with database.reading() as session:
        found = p.pseudo_label_stats(session, [run_id])
    assert (found.cells, found.accepted, found.rejected) == (3, 1, 2)
    assert found.reasons == {"agreed by 1 of 2 prompt algorithms, 2 wanted": 2, "single-cell: not round": 1}
    assert next(iter(found.reasons)).startswith("agreed")  # the most frequent first
    assert found.agreed_by == {1: (2, 0), 2: (1, 1)}
    assert found.found_by == {"split-merge": 2, "watershed": 2}


def test_a_run_without_cells_has_counts_of_zero(database: Database, filled: Filled) -> None:
    with database.reading() as session:
        found = p.pseudo_label_stats(session, [999])
    assert (found.cells, found.accepted, found.reasons, found.agreed_by) == (0, 0, {}, {})


def test_runs_of_other_steps_and_unfinished_ones_are_refused(database: Database, filled: Filled) -> None:
    with database.session() as session:
        run = start_run(session, step=p.STEP, slide_id=filled.slide_id, fingerprint="x", app_version="1", source_run_id=filled.segment_id)
        unfinished = run.id
    with database.reading() as session:
        with pytest.raises(UsageError, match=f"run {filled.segment_id} is a segment run.*cacapp pseudo-label --run {filled.segment_id}"):
            p.pseudo_label_run(session, filled.segment_id)
        with pytest.raises(UsageError, match="is a count run"):
            p.pseudo_label_run(session, filled.count_id)
        with pytest.raises(UsageError, match="there is no run 999"):
            p.pseudo_label_run(session, 999)
        with pytest.raises(CacappError, match="not finished"):
            p.pseudo_label_run(session, unfinished)


def test_one_judgement_a_cell(database: Database, filled: Filled) -> None:
    with database.session() as session, pytest.raises(ValueError, match="2 judgements for 3 cells"):
        p.write_pseudo_labels(session, filled.segment_id, filled.frame_id, filled.cell_ids, JUDGED[:2])


@pytest.mark.parametrize(
    ("names", "wanted", "reason"),
    [
        (["watershed"], 2, "agreed by 1 of 3 prompt algorithms (watershed), 2 wanted"),
        ([], 1, "agreed by 0 of 3 prompt algorithms, 1 wanted"),
        (["a", "b"], 2, None),
        ([], 0, None),
    ],
)
def test_the_reason_names_who_agreed_and_how_many_were_wanted(names: list[str], wanted: int, reason: str | None) -> None:
    assert p.agreement_reason(names, ["a", "b", "watershed"], wanted) == reason


def test_no_other_slide_is_read(database: Database, filled: Filled, fill_slide: Callable[..., Filled]) -> None:
    other = fill_slide(database, "P2", "S2")
    one, two = write(database, filled), write(database, other, [p.Judgement(True)] * 3)
    with database.reading() as session:
        assert p.read_pseudo_labels(session, p.pseudo_label_run(session, one), other.frame_id) == []
        assert p.pseudo_label_stats(session, [one, two]).cells == 6
