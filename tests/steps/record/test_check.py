"""`db check` finds what is wrong, names it, and finds nothing where nothing is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from cacapp.arrays import rle
from cacapp.db.engine.session import Database, migration_connection, open_database
from cacapp.steps.record.check import check

WHO = ("--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100")
Run = Callable[..., Any]


@pytest.fixture
def database(counted: Run, record_url: str) -> Iterator[Database]:
    """The counted small slide: segment run 1, count run 2, frames 1 and 2."""
    opened = open_database(record_url, create=False)
    yield opened
    opened.dispose()


@pytest.fixture
def damage(record_url: str) -> Callable[[str], None]:
    """Runs a statement that no session of cacapp's could: foreign keys are not looked at."""

    def run(statement: str) -> None:
        with migration_connection(record_url) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL session_replication_role = replica"))
            assert connection.execute(text(statement)).rowcount > 0, statement

    return run


def test_a_complete_database_passes_all_checks(counted: Run, database: Database) -> None:
    assert counted("pseudo-label", "--quiet").code == 0
    assert counted("count", "--force", "--quiet").code == 0
    found = check(database)
    assert found.problems == ()
    assert (found.cells > 10, found.files, found.files_read) == (True, 2, 2)


WHEN = "'2026-01-02 03:04:05'"
FIRST_CELL = "(SELECT min(id) FROM cell)"


@pytest.mark.parametrize(
    ("statement", "kind", "words"),
    [
        ("DELETE FROM run WHERE id = 2", "foreign keys", "of table cell_call refer to a run that is not there"),
        ("DELETE FROM patient", "foreign keys", "of table slide refer to a patient"),
        (f"DELETE FROM cell_call WHERE cell_id = {FIRST_CELL}", "orphans", "signals of cells that their run has no call for"),
        (f"DELETE FROM signal_count WHERE cell_id = {FIRST_CELL}", "orphans", "1 calls of cells that their run has no counts for"),
        (f"UPDATE cell SET bbox_x_px = 370 WHERE id = {FIRST_CELL}", "orphans", "1 cells that do not lie in their frame"),
        ("DELETE FROM channel WHERE frame_id = 2", "orphans", "frame frame01 of slide S1 has no channels"),
        (f"DELETE FROM cell_call WHERE cell_id = {FIRST_CELL}", "ledger", "run 2, frame frame00: done with"),
        ("UPDATE run_frame SET status = 'pending' WHERE run_id = 1 AND frame_id = 1", "ledger", "results, but the ledger says pending"),
        (
            "DELETE FROM run_frame WHERE run_id = 2 AND frame_id = 2",
            "ledger",
            "run 2, frame frame01: 10 results, but the ledger says nothing",
        ),
        ("UPDATE run_frame SET status = 'pending' WHERE run_id = 2", "ledger", "pending, but the run has succeeded"),
        ("UPDATE patient_result SET cells = cells + 1", "ledger", "result of patient 1 as of run 2: 21 cells, but its runs have 20"),
        ("UPDATE patient_result SET count_run_ids = '[7]'", "ledger", "it sums run 7, which is not there"),
        (f"UPDATE cell SET bbox_w_px = bbox_w_px - 1 WHERE id = {FIRST_CELL}", "masks", "run 1, frame 1, label 1): its mask of"),
        (
            f"INSERT INTO model (name, kind, path, sha256, metrics, created_at) VALUES ('m', 'k', '/no/w', 'ff', '{{}}', {WHEN})",
            "files",
            "weights file /no/w is missing",
        ),
    ],
)
def test_each_damage_is_named(database: Database, damage: Callable[[str], None], statement: str, kind: str, words: str) -> None:
    damage(statement)
    found = check(database)
    assert [p for p in found.problems if p.kind == kind and words in p.what], found.problems


@pytest.mark.sqlite_only
def test_json_that_does_not_parse_and_a_torn_page_are_named(database: Database, damage: Callable[[str], None], tmp_path: Path) -> None:
    damage("UPDATE run SET params = '{\"half'")
    assert [p.what for p in check(database).problems] == ["2 rows of table run with a params that is no JSON"]


def test_files_that_changed_or_went_are_named(cacapp: Run, small_slide: Path, record_url: str, tmp_path: Path) -> None:
    shutil.copytree(small_slide, tmp_path / "in")
    assert cacapp("ingest", tmp_path / "in", *WHO).code == 0
    (tmp_path / "in" / "frame00.ome.tif").unlink()
    with (tmp_path / "in" / "frame01.ome.tif").open("ab") as file:
        file.write(b"x")
    ended = cacapp("db", "check")
    assert ended.code == 1
    gone, changed = ended.lines("error")
    assert "frame00.ome.tif is missing" in gone
    assert "frame01.ome.tif has changed (SHA-256 " in changed
    assert "2 problems" in ended.out
    assert cacapp("db", "check", "--files", "none").code == 0
    record = cacapp("db", "check", "--files", "sample", "--json")
    assert record.code == 1
    assert [p["kind"] for p in record.json["problems"]] == ["files", "files"]
    assert cacapp("db", "check", "--files", "some").code == 2


def test_a_sample_of_many_files_is_read(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cacapp.steps.record.check.SAMPLE", 1)
    assert check(database, "sample").files_read == 1
    assert check(database, "all").files_read == 2


CODES = st.lists(st.integers(48, 111), max_size=30).map(bytes)


@given(st.lists(st.one_of(st.binary(max_size=40), CODES), min_size=1, max_size=8), st.data())
def test_many_masks_are_judged_as_each_alone(masks: list[bytes], data: st.DataObject) -> None:
    pixels = [data.draw(st.sampled_from([abs(sum(rle.run_lengths(mask))), 12])) for mask in masks]
    alone = [sum(rle.run_lengths(mask)) != size or not mask for mask, size in zip(masks, pixels, strict=True)]
    assert rle.damaged(masks, np.array(pixels)).tolist() == alone


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1)), min_size=1, max_size=6))
def test_masks_that_were_encoded_are_whole(shapes: list[tuple[int, int, int]]) -> None:
    masks = [np.random.default_rng(seed).random((h, w)) < 0.5 for h, w, seed in shapes]
    assert not rle.damaged([rle.encode(mask) for mask in masks], np.array([mask.size for mask in masks])).any()
