"""Cells, signals, counts and calls: what is written comes back, a retry replaces, nothing dangles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from cacapp.db.cells import calls
from cacapp.db.cells import nuclei as cells
from cacapp.db.cells.queries import signals_of, signals_of_frame
from cacapp.db.engine.session import Database
from cacapp.db.runs import ledger as runs
from cacapp.exceptions import CacappError
from cacapp.types import Instance, Shapes


def _shapes(size: int) -> Shapes:
    ones = np.ones(size)
    return Shapes(ones, ones, ones, ones, ones, np.zeros(size, bool))


def _instances(size: int) -> list[Instance]:
    return [Instance((i, 2 * i, 3, 2), np.array([[True, False, True], [False, True, i % 2 == 0]]), 0.5) for i in range(size)]


def _total(database: Database, table: str) -> int:
    with database.reading() as session:
        return int(session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def _second_run(database: Database, filled: Any) -> int:
    with database.session() as session:
        return runs.start_run(session, step="segment", slide_id=filled.slide_id, fingerprint="2", app_version="1").id


def test_cells_come_back_as_written(database: Database, filled: Any) -> None:
    with database.reading() as session:
        records = cells.read_cells(session, filled.segment_id, filled.frame_id)
        assert cells.read_verdicts(session, filled.cell_ids[2]) == {"single-cell": "cut off"}
        assert cells.read_verdicts(session, filled.cell_ids[0]) == {}
    y, x = np.mgrid[-10:11, -10:11]
    assert [record.id for record in records] == filled.cell_ids
    assert [record.label for record in records] == [1, 2, 3]
    assert [record.instance.bbox_xywh for record in records] == [(0, 40, 21, 21), (25, 40, 21, 21), (50, 40, 21, 21)]
    assert all(np.array_equal(record.instance.mask, y**2 + x**2 <= 100) for record in records)
    assert [record.centroid_yx for record in records] == [(50, 10), (50, 35), (50, 60.25)]
    assert [record.area_px for record in records] == [317, 318, 319]
    assert [record.length_px for record in records] == [21.25, 22.25, 23.25]
    assert [record.roundness for record in records] == pytest.approx([0.9, 0.89, 0.88])
    assert [record.instance.score for record in records] == [0.75] * 3
    assert [record.focus for record in records] == [None] * 3
    assert [record.evaluable for record in records] == [True, True, False]
    assert [record.exclusion_reason for record in records] == [None, None, "touches the frame's edge"]


def test_a_retry_replaces_the_frames_cells(database: Database, filled: Any) -> None:
    run_id = _second_run(database, filled)
    for size in (5, 2):
        with database.session() as session:
            verdicts = {"a": ["x"] * size, "b": [None] * size}
            ids = cells.write_cells(
                session, run_id, filled.frame_id, _instances(size), _shapes(size), np.zeros((size, 2)), np.ones(size), None, verdicts
            )
            assert len(set(ids) - set(filled.cell_ids)) == size
    assert _total(database, "cell") == 3 + 2
    assert _total(database, "verdict") == 1 + 2


def test_a_frame_without_cells_is_written_too(database: Database, filled: Any) -> None:
    run_id = _second_run(database, filled)
    with database.session() as session:
        assert cells.write_cells(session, run_id, filled.frame_id, [], _shapes(0), np.zeros((0, 2)), None, [], {"a": []}) == []
        assert cells.read_cells(session, run_id, filled.frame_id) == []
        calls.write_signals(session, run_id, filled.frame_id, 1, np.zeros((0, 2)), *[np.zeros(0)] * 3, [], [])
        calls.write_counts(session, run_id, [], np.zeros((0, 4), int))
        calls.write_calls(session, run_id, [], [])


def test_counted_cells_are_not_replaced(database: Database, filled: Any) -> None:
    with database.session() as session, pytest.raises(CacappError, match="counted or reviewed"):
        cells.write_cells(session, filled.segment_id, filled.frame_id, [], _shapes(0), np.zeros((0, 2)))
    assert _total(database, "cell") == 3


@pytest.mark.parametrize(
    "wrong", [{"centroids_yx": np.zeros((1, 2))}, {"reasons": ["x"]}, {"focus": np.zeros(3)}, {"verdicts": {"a": ["x"]}}]
)
def test_arguments_of_another_length_are_refused(database: Database, filled: Any, wrong: dict[str, Any]) -> None:
    run_id = _second_run(database, filled)
    given = {"instances": _instances(2), "shapes": _shapes(2), "centroids_yx": np.zeros((2, 2))} | wrong
    with pytest.raises(ValueError, match=r"values for 2 rows|argument"), database.session() as session:
        cells.write_cells(session, run_id, filled.frame_id, **given)
    assert _total(database, "cell") == 3


def test_numbers_that_are_not_finite_are_refused(database: Database, filled: Any) -> None:
    with pytest.raises(ValueError, match=r"signal\.snr"), database.session() as session:
        calls.write_signals(
            session,
            filled.count_id,
            filled.frame_id,
            1,
            np.zeros((1, 2)),
            np.array([np.nan]),
            np.ones(1),
            np.ones(1),
            filled.cell_ids[:1],
            [None],
        )


def test_a_cells_signals_come_back_by_channel_in_order(database: Database, filled: Any) -> None:
    with database.reading() as session:
        dots = signals_of(session, filled.cell_ids[1])
        assert [dot.channel for dot in dots] == ["aqua"] * 3 + ["green"] * 4 + ["gold"] * 2 + ["red"] * 2
        assert [dot.number for dot in dots if dot.channel == "green"] == [0, 1, 2, 3]
        assert dots[0].yx == pytest.approx((4.1, 5.1))
        assert (dots[0].snr, dots[0].amplitude, dots[0].sigma_px, dots[0].state, dots[0].reason) == (9.5, 700, 1.5, "auto", None)
        assert len(signals_of_frame(session, filled.count_id, filled.frame_id)) == 8 + 11 + 3
        assert signals_of(session, filled.cell_ids[1], run_id=filled.segment_id) == []
        with pytest.raises(CacappError, match="no cell 999"):
            signals_of(session, 999)


def test_signals_keep_their_owner_and_reason_in_any_order_and_strays_are_kept_apart(database: Database, filled: Any) -> None:
    a, b, _ = filled.cell_ids
    owners, reasons = [b, None, a, b], ["split", None, None, "bleed-through"]
    yx = np.array([[1, 1], [2, 2], [3, 3], [4, 4.26]])
    with database.session() as session:
        for _ in range(2):  # twice: a retry replaces
            rivals = {2: b, 3: None}
            dots = (yx, np.arange(4), np.arange(4), np.ones(4))
            calls.write_signals(session, filled.count_id, filled.frame_id, 2, *dots, owners, reasons, rivals)
    with database.reading() as session:
        green = [dot for dot in signals_of_frame(session, filled.count_id, filled.frame_id) if dot.channel == "green"]
        assert [(dot.cell_id, dot.number, dot.yx, dot.reason) for dot in green] == [
            (a, 0, (3, 3), None),
            (b, 0, (1, 1), "split"),
            (b, 1, (4, 4.3), "bleed-through"),
        ]
        contested = session.execute(text("SELECT cell_id, number, other_cell_id FROM contested_signal WHERE channel = 2 ORDER BY cell_id"))
        assert contested.all() == [(a, 0, b), (b, 1, None)]
        strays = session.execute(text("SELECT frame_id, channel, number, y_px FROM stray_signal")).all()
        assert strays == [(filled.frame_id, 2, 0, 20)]


def test_zeros_are_stored_and_a_retry_replaces_counts_and_calls(database: Database, filled: Any, fill_slide: Callable[..., Any]) -> None:
    other = fill_slide(database, "P2", "S2", "g1")
    with database.session() as session:
        calls.write_counts(session, filled.count_id, filled.cell_ids, np.zeros((3, 4), int))
    with database.reading() as session:
        kept = dict(session.execute(text("SELECT run_id, count(*) FROM signal_count WHERE n = 0 GROUP BY run_id")).all())
    assert kept == {filled.count_id: 12, other.count_id: 2}
    assert _total(database, "signal_count") == 24
    assert _total(database, "cell_call") == 6


def test_counts_of_another_shape_are_refused(database: Database, filled: Any) -> None:
    with database.session() as session, pytest.raises(ValueError, match="for 3 cells"):
        calls.write_counts(session, filled.count_id, filled.cell_ids, np.zeros((2, 4), int))


def test_a_call_for_a_cell_that_is_not_there_is_refused(database: Database, filled: Any) -> None:
    with pytest.raises(IntegrityError), database.session() as session:
        calls.write_counts(session, filled.count_id, [12345], np.zeros((1, 4), int))


@pytest.mark.sqlite_only
def test_a_cell_with_its_mask_and_eight_signals_takes_at_most_600_bytes(database: Database, filled: Any) -> None:
    n, frames = 350, 12
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-37:38, -37:38]
    nuclei = [Instance((0, 0, 75, 75), y**2 + x**2 <= 37**2, 0.9)] * n
    shapes = Shapes(*(rng.uniform(0.5, 100, n) for _ in range(5)), np.zeros(n, bool))

    def size() -> int:
        with database.reading() as session:
            return int(session.execute(text("PRAGMA page_count")).scalar_one()) * 4096

    before = size()
    with database.session() as session:
        for _ in range(frames):
            run_id = runs.start_run(session, step="segment", slide_id=filled.slide_id, fingerprint="x", app_version="1").id
            ids = cells.write_cells(session, run_id, filled.frame_id, nuclei, shapes, rng.uniform(0, 3600, (n, 2)), rng.random(n))
            for channel in range(1, 5):
                values = [rng.uniform(5, 60, 2 * n), rng.uniform(100, 9000, 2 * n), rng.uniform(1, 2, 2 * n)]
                owners = np.repeat(ids, 2).tolist()
                calls.write_signals(
                    session, run_id, filled.frame_id, channel, rng.uniform(0, 3600, (2 * n, 2)), *values, owners, [None] * 2 * n
                )
            calls.write_counts(session, run_id, ids, np.full((n, 4), 2))
    per_cell = (size() - before) / (n * frames)
    assert 300 < per_cell <= 600
