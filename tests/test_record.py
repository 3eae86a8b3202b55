"""A record in a notebook: Arrow tables that say what the command line says, and nothing is written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest

import cacapp as api
from cacapp.db.engine.session import open_database
from cacapp.db.queries import latest_run_ids
from cacapp.exceptions import CacappError, UsageError
from cacapp.steps.review.decide import Action, decide

ROOT = Path(__file__).parents[1]
Cacapp = Callable[..., Any]
pytestmark = pytest.mark.parametrize("database_kind", ["sqlite"])


def test_tables_say_what_the_command_line_says(counted: Cacapp, record_url: str) -> None:
    told = counted("cells", "--json").json
    with api.open(record_url) as record:
        cells, counts, signals = record.cells(), record.counts(), record.signals()
        patients, slides = record.patients().to_pylist(), record.slides().to_pylist()
    assert isinstance(cells, pyarrow.Table)
    rows = cells.to_pylist()
    assert [{k: row[k] for k in told[0]} for row in rows] == told
    [patient] = counted("patients", "--json").json
    assert {k: patients[0][k] for k in ("patient", "cacs", "evaluable", "cacs_per_100ul", "verdict")} == {
        k: patient[k] for k in ("patient", "cacs", "evaluable", "cacs_per_100ul", "verdict")
    }
    assert (slides[0]["slide"], slides[0]["frames"], slides[0]["count_run_id"]) == ("S1", 2, told[0]["run_id"])
    assert sum(counts["copies"].to_pylist()) == sum(row[c] or 0 for row in rows for c in ("aqua", "green", "gold", "red"))
    good = [s for s in signals.to_pylist() if s["counts"]]
    assert len(good) == sum(counts["copies"].to_pylist()), "each copy is a dot"
    assert cells.to_pandas()["is_cac"].sum() == patient["cacs"]


def test_a_persons_decision_is_shown_beside_the_softwares_call(counted: Cacapp, record_url: str) -> None:
    db = open_database(record_url)
    cell = counted("cells", "--class", "cac", "--json").json[0]
    with db.reading() as session:
        [run_id] = latest_run_ids(session, "count", [1]).values()
    decide(db, "kh", cell["cell_id"], Action("class", class_="normal"), run_id=run_id, seen=0)
    with api.open(record_url) as record:
        [row] = [r for r in record.cells(class_="cac").to_pylist() if r["cell_id"] == cell["cell_id"]]
        [patient] = record.patients().to_pylist()
    assert (row["class"], row["is_cac"], row["reviewed_class"], row["reviewed_is_cac"], row["reviewer"]) == (
        "cac",
        True,
        "normal",
        False,
        "kh",
    )
    assert patient["reviewed_cacs"] == patient["cacs"] - 1


def test_an_empty_record_gives_empty_tables_with_all_columns(database: Any, record_url: str) -> None:
    with api.open(record_url) as record:
        for name in ("patients", "slides", "cells", "counts", "signals"):
            table = getattr(record, name)()
            assert table.num_rows == 0
            assert table.num_columns > 5, name
            assert "string" in {str(t) for t in table.schema.types}


def test_a_missing_database_or_slide_is_reported_in_one_line(counted: Cacapp, record_url: str, tmp_path: Path) -> None:
    with pytest.raises(CacappError, match=r"none\.db"):
        api.open(tmp_path / "none.db")
    with api.open(record_url) as record:
        for ask in (record.cells, record.counts, record.signals):
            with pytest.raises(UsageError, match="S9"):
                ask(slide="S9")


@pytest.mark.slow
def test_the_example_of_the_documentation_runs(counted: Cacapp, record_url: str) -> None:
    command = [sys.executable, str(ROOT / "docs" / "examples" / "notebook.py"), record_url]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    [patient] = counted("patients", "--json").json
    assert told.startswith(f"P1: {patient['cacs']} CACs in {patient['evaluable']} evaluable cells, {patient['verdict']}")
    assert told.count(" cell ") == patient["cacs"]
    assert "copies on average" in told
    assert "median SNR" in told
