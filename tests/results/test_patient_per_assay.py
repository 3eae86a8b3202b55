"""A patient has a result for each assay; a count with another assay adds one beside it, and each assay counts by its own rules."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

import cacapp as api
from cacapp.db.engine.session import Database
from cacapp.db.queries import latest_results
from tests.steps.conftest import put

Cacapp = Callable[..., Any]
KATZ = (resources.files("cacapp.fish.assay") / "definitions" / "katz-4color.toml").read_text()


def assay_file(path: Path, name: str, *changes: tuple[str, str]) -> Path:
    """The built-in assay under another name, with changes of its text."""
    text = KATZ.replace('name = "katz-4color"', f'name = "{name}"')
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)
    return path


def test_an_assay_that_leaves_out_a_subtype_of_another_name_stores_how_many(database: Database, tmp_path: Path) -> None:
    file = assay_file(tmp_path / "ours.toml", "ours", ("balanced_polyploid", "evenly_gained"))
    patterns = [[2, 2, 2, 2]] * 9 + [[3, 3, 3, 3]] * 2 + [[4, 3, 2, 2]] * 3
    for patient, assay in (("P1", "katz-4color"), ("P2", str(file))):
        put(database, patient, f"S-{patient}", patterns, assay=assay)
    with database.reading() as session:
        assert [(r.assay_name, r.cacs, r.cacs_balanced_polyploid) for r in latest_results(session)] == [
            ("ours", 5, 2),
            ("katz-4color", 5, 2),
        ]


@pytest.fixture
def twice(counted: Cacapp, tmp_path: Path) -> Cacapp:
    """The small slide, counted with the built-in assay and then with one that wants more of a CAC."""
    file = assay_file(tmp_path / "strict.toml", "strict", ("min_cac_margin = 3.0", "min_cac_margin = 1000.0"))
    assert counted("count", "--assay", file, "--quiet").code == 0
    return counted


def test_a_count_with_another_assay_adds_a_result_beside_the_old_one(counted: Cacapp, tmp_path: Path) -> None:
    (before,) = counted("patients", "--json").json
    file = assay_file(tmp_path / "strict.toml", "strict", ("min_cac_margin = 3.0", "min_cac_margin = 1000.0"))
    assert counted("count", "--assay", file, "--quiet").code == 0
    strict, katz = counted("patients", "--json").json
    assert katz == before
    assert (katz["assay_name"], katz["assay_version"], katz["cacs"]) == ("katz-4color", "2", 2)
    assert (strict["assay_name"], strict["cacs"], strict["classes"]["uncertain"]) == ("strict", 1, katz["classes"]["uncertain"] + 1)
    assert counted("count", "--force", "--quiet").code == 0
    again = counted("patients", "--json").json
    assert [(r["assay_name"], r["cacs"]) for r in again] == [("katz-4color", 2), ("strict", 1)]
    assert again[0]["run_id"] > again[1]["run_id"] > katz["run_id"]


def test_tables_and_files_have_a_row_for_each_assay(twice: Cacapp, record_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(csv.DictReader(io.StringIO(twice("report", "--format", "csv").out)))
    assert [(r["patient"], r["assay_name"], r["assay_version"], r["cacs"]) for r in rows] == [
        ("P1", "strict", "2", "1"),
        ("P1", "katz-4color", "2", "2"),
    ]
    for width in ("80", "150"):
        monkeypatch.setenv("COLUMNS", width)
        for command in ("patients", "report"):
            printed = twice(command).out
            assert "assay" in printed
            assert printed.index("strict 2") < printed.index("katz-4color 2")
    with api.open(record_url) as record:
        found = record.patients().select(["patient", "assay_name", "assay_version", "cacs", "reviewed_cacs", "class_uncertain"]).to_pylist()
    assert [tuple(row.values())[:5] for row in found] == [("P1", "strict", "2", 1, None), ("P1", "katz-4color", "2", 2, None)]
    assert all(row["class_uncertain"] is not None for row in found)


@pytest.mark.slow
def test_each_assay_has_a_page_which_names_the_others(twice: Cacapp) -> None:
    assert twice("report", "--format", "html", "--quiet").code == 0
    assert sorted(p.name for p in Path("reports").iterdir()) == ["P1.html", "P1_katz-4color_2.html", "index.html"]
    newest, older, index = (
        BeautifulSoup(Path("reports", name).read_text(), "html.parser") for name in ("P1.html", "P1_katz-4color_2.html", "index.html")
    )
    assert "assay strict 2" in newest.header.get_text(" ", strip=True)
    assert [(a.get_text(), a["href"]) for a in newest.select(".verdict a")] == [("katz-4color 2", "P1_katz-4color_2.html")]
    assert [(a.get_text(), a["href"]) for a in older.select(".verdict a")] == [("strict 2", "P1.html")]
    lines = [[c.get_text(strip=True) for c in row.select("th, td")][:2] for row in index.select("tbody tr")]
    assert lines == [["P1", "strict 2"], ["P1", "katz-4color 2"]]
    assert index.h1.get_text() == "1 patient"


def test_runs_behind_the_result_of_each_assay_stay_when_the_record_is_pruned(twice: Cacapp) -> None:
    before = twice("patients", "--json").json
    assert twice("db", "prune", "--yes", "--quiet").code == 0
    assert twice("patients", "--json").json == before
