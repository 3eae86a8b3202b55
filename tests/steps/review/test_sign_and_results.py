"""Tables, files and pages that leave the program show the reviewed result beside the software's, and whether it is signed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

from cacapp.steps.review.sign import amend
from tests.conftest import copy_template
from tests.review.conftest import Record
from tests.steps.review.test_second_reading_and_signature import sign_now

Cacapp = Callable[..., Any]


@pytest.fixture
def counted(cacapp: Cacapp, database_kind: str, record_url: str, request: pytest.FixtureRequest) -> Cacapp:
    """The command line on a record whose cells are called by their counts alone."""
    copy_template(request, record_url, "settled_once" if database_kind == "sqlite" else "settled_template")
    return cacapp


def patient(cacapp: Cacapp) -> dict[str, Any]:
    ended = cacapp("patients", "--json")
    assert ended.code == 0
    (found,) = json.loads(ended.out)
    return dict(found)


def standings(cacapp: Cacapp) -> str:
    return str(patient(cacapp)["review"]["standing"])


def test_a_result_states_the_progress_of_its_review_up_to_the_signature_and_after(counted: Cacapp, record: Record) -> None:
    one, two = record.flagged()
    none = {"reviewed": None, "signed_by": None, "signed_at": None, "earlier_decisions": []}
    assert patient(counted)["review"] == none | {"standing": "not reviewed"}
    last = record.decide("anna", one.cell_id, "class", class_="normal").review.id
    assert standings(counted) == "in review, 1 flagged cell to decide, not signed"
    record.decide("anna", two.cell_id, "accept")
    assert standings(counted) == "reviewed, not signed"
    signed = sign_now(record)
    found = patient(counted)
    assert found["review"]["standing"].startswith("signed by paula, 20")
    assert (found["cacs"], found["review"]["reviewed"]["cacs"]) == (2, 1)
    assert (found["classes"]["cac"], found["review"]["reviewed"]["classes"]["cac"]) == (2, 1)
    assert found["review"]["sha256"] == signed.sha256
    assert found["review"]["readings"] == [{"slide": "S1", "position": "first", "reader": "anna"}]
    amend(record.db, record.patient_id, signed.id, "paula", "once more")
    assert standings(counted) == "reviewed, opened again, not signed anew"
    record.decide("anna", one.cell_id, "undo", last)
    assert standings(counted) == "in review, 1 flagged cell to decide, opened again, not signed anew"


@pytest.mark.slow
def test_a_count_after_the_signature_is_not_signed_by_it(counted: Cacapp, record: Record) -> None:
    for cell in record.flagged():
        record.decide("anna", cell.cell_id, "accept")
    sign_now(record)
    assert counted("segment", "S1", "--force", "--quiet", "--segmenter", "coarse").code == 0
    assert counted("count", "S1", "--quiet").code == 0
    found = patient(counted)["review"]
    assert "counted again after its signature, not signed" in found["standing"]
    assert found["signed_by"] is None


def test_tables_and_csv_show_both_numbers(counted: Cacapp, record: Record) -> None:
    one, two = record.flagged()
    assert "not reviewed" in counted("report").out
    record.decide("anna", one.cell_id, "class", class_="normal")
    record.decide("anna", two.cell_id, "accept")
    sign_now(record)
    for command in (("patients",), ("report",)):
        printed = counted(*command).out
        for words in ("→ 1", "→ 1.00", "after review", "signed by"):
            assert words in printed, printed
        assert any(set(line.strip()) == {"─"} for line in printed.splitlines())  # a table, not blocks
    (row,) = csv.DictReader(io.StringIO(counted("report", "--format", "csv").out))
    assert (row["cacs"], row["reviewed_cacs"], row["signed_by"]) == ("2", "1", "paula")
    assert float(row["reviewed_cacs_per_100ul"]) == float(row["cacs_per_100ul"]) / 2
    assert row["standing"].startswith("signed by paula")


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_the_page_and_the_index_say_at_the_top_whether_a_person_has_signed_the_verdict(
    counted: Cacapp, record: Record, tmp_path: Path
) -> None:
    def top() -> tuple[str, str]:
        assert counted("report", "--format", "html", "--out", str(tmp_path), "--quiet").code == 0
        page, index = (BeautifulSoup((tmp_path / name).read_text(), "html.parser") for name in ("P1.html", "index.html"))
        return page.select_one(".verdict .standing").get_text(" ", strip=True), index.select_one("tbody tr").get_text("|", strip=True)

    page, index = top()
    assert page == "Automatic result, not reviewed."
    assert "|not reviewed|" in index
    assert "|2|–|" in index
    one, two = record.flagged()
    record.decide("anna", one.cell_id, "class", class_="normal")
    record.decide("anna", two.cell_id, "accept")
    page, index = top()
    assert page.startswith("Reviewed, not signed. The software alone: ")
    assert page.endswith("2 CACs.")
    sign_now(record)
    page, index = top()
    assert page.startswith("Signed by paula, ")
    assert "signed by paula" in index
    assert "|2|1|" in index
