"""Superseded runs are deleted, runs that something refers to are kept, and the database stays consistent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cacapp.cli.app import run_command
from cacapp.db.engine.session import Database, open_database
from cacapp.exceptions import CacappError
from cacapp.steps.record.check import check
from cacapp.steps.record.copy import copy
from cacapp.steps.record.prune import prune

Run = Callable[..., Any]
Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def recounted(tmp_path_factory: pytest.TempPathFactory, small_slide: Path) -> Path:
    """The small slide segmented (runs 1, 3) and counted (2 of 1, 4 and 5 of 3) more than once: run 5 is what is read."""
    path = tmp_path_factory.mktemp("recounted") / "recounted.db"
    who = ("--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100", "--no-report")
    coarse = ("--segmenter", "coarse")
    for command in (("run", str(small_slide), *who, *coarse), ("segment", "--force", *coarse), ("count", "--force"), ("count", "--force")):
        assert run_command([*command, "--quiet", "--db", str(path)]) == 0
    return path


@pytest.fixture
def again(cacapp: Run, recounted: Path, record_url: str) -> Run:
    """The command line with that record."""
    source = open_database(recounted)
    copy(source, record_url)
    source.dispose()
    return cacapp


@pytest.fixture
def database(again: Run, record_url: str) -> Iterator[Database]:
    opened = open_database(record_url, create=False)
    yield opened
    opened.dispose()


def pruned(database: Database) -> list[int]:
    """Numbers of the runs that would go."""
    report = prune(database, delete=False)
    assert not report.done
    return [run.run_id for run in report.runs]


@pytest.mark.slow
def test_superseded_runs_go_and_answers_stay_the_same(again: Run, database: Database, ask: Ask) -> None:
    questions = (("cells", "--json"), ("patients", "--json"), ("report", "--json"))
    before = [again(*question).json for question in questions]
    shown = again("db", "prune")
    assert shown.code == 0
    assert shown.out.startswith("would delete runs 1, 2, 4 with ")
    assert [again(*question).json for question in questions] == before
    done = again("db", "prune", "--yes", "--json")
    assert done.code == 0, done.err
    assert [run["run_id"] for run in done.json["runs"]] == [4, 2, 1]
    assert done.json["rows"]["cell"] == 20
    assert done.json["done"]
    assert [again(*question).json for question in questions] == before
    assert ask("SELECT id FROM run ORDER BY id") == [(3,), (5,)]
    assert ask("SELECT run_id FROM patient_result") == [(5,)]
    assert ask("SELECT count(*), count(DISTINCT run_id) FROM cell_call") == [(20, 1)]
    assert check(database).problems == ()
    assert again("db", "prune").out.startswith("nothing to prune")
    assert again("count", "--force", "--quiet").code == 0


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_pruning_makes_the_file_smaller(database: Database, record_url: str) -> None:
    report = prune(database, delete=True)
    assert report.bytes_after == Path(record_url).stat().st_size < report.bytes_before


def test_runs_with_reviews_are_kept(again: Run, database: Database, ask: Ask) -> None:
    assert pruned(database) == [4, 2, 1]
    ask(
        "INSERT INTO review (cell_id, reviewer, created_at, before, after, run_id)"
        " VALUES ((SELECT min(id) FROM cell), 'A', '2026-01-02 03:04:05', '{}', '{}', 2)"
    )
    assert pruned(database) == [4]


def test_runs_with_a_signature_are_kept(again: Run, database: Database, ask: Ask) -> None:
    ask(
        "INSERT INTO sign_off (patient_id, run_id, signer, signed_at, record, sha256) VALUES (1, 4, 'A', '2026-01-02 03:04:05', '{}', 'ff')"
    )
    assert pruned(database) == [2, 1]


def test_runs_that_a_model_was_trained_on_are_kept(again: Run, database: Database, ask: Ask) -> None:
    ask(
        "INSERT INTO model (name, kind, path, sha256, metrics, created_at)"
        " VALUES ('m', 'k', '/w', 'ff', '{\"lineage\": [{\"run\": 2}]}', '2026-01-02 03:04:05')"
    )
    assert pruned(database) == [4]


def test_runs_that_another_slides_result_sums_are_kept(again: Run, database: Database, ask: Ask) -> None:
    ask("UPDATE patient_result SET count_run_ids = '[2, 5]' WHERE run_id = 5")
    assert pruned(database) == [4]


@pytest.mark.parametrize("status", ["running", "failed", "cancelled"])
def test_a_run_newer_than_the_latest_that_succeeded_stays(again: Run, database: Database, ask: Ask, status: str) -> None:
    ask("UPDATE run SET status = :status WHERE id = 5", status=status)
    assert pruned(database) == [2, 1]


def test_a_prune_that_fails_deletes_nothing(again: Run, database: Database, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise CacappError("in between")

    before = ask("SELECT count(*) FROM signal"), ask("SELECT count(*) FROM run")
    monkeypatch.setattr("cacapp.steps.record.prune.delete_headers", fails)
    with pytest.raises(CacappError, match="in between"):
        prune(database, delete=True)
    assert (ask("SELECT count(*) FROM signal"), ask("SELECT count(*) FROM run")) == before
    assert check(database).problems == ()
