"""The index: a line a patient, and links that lead to the reports beside it and nowhere else."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from cacapp.exceptions import UsageError
from cacapp.report.html import render_index
from cacapp.report.patient_page import IndexRow, PatientReport


def rows(report: PatientReport) -> list[IndexRow]:
    unknown = replace(report.result, blood_volume_ul=None, cacs_per_100ul=None, cacs_per_100ul_low=None, cacs_per_100ul_high=None)
    return [
        IndexRow("P-0042", "P-0042.html", "katz-4color 2", "increased risk (Katz)", report.result),
        IndexRow("<b>P</b>", "a b#1?.html", "ours 2", "undetermined", replace(unknown, classes={"normal": 5, "odd_one": 2})),
    ]


def test_each_patient_has_its_numbers_and_a_link(report: PatientReport) -> None:
    html = render_index(rows(report))
    first = re.sub(r"<[^>]+>", " ", html[html.index("<tbody>") : html.index("</tr>", html.index("<tbody>"))]).split()
    verdict = ["P-0042", "katz-4color", "2", "increased", "risk", "(Katz)", "not", "reviewed"]
    numbers = ["4.07", "1.49–8.85", "6", "–", "2", "11,903", "12,877", "10,995", "91", "811", "6", "0"]
    assert first == [*verdict, *numbers, "57", "2", "of", "23"]
    assert 'href="P-0042.html"' in html
    assert "volume unknown" in html


def test_codes_are_escaped_and_odd_file_names_are_quoted(report: PatientReport) -> None:
    html = render_index(rows(report))
    assert "<b>P</b>" not in html
    assert "&lt;b&gt;P&lt;/b&gt;" in html
    assert 'href="a%20b%231%3F.html"' in html


@pytest.mark.parametrize("href", ["javascript:alert(1)", "https://example.org/r.html", "//example.org/r.html", "/etc/passwd", ""])
def test_a_link_that_leads_elsewhere_is_refused(report: PatientReport, href: str) -> None:
    with pytest.raises(UsageError, match="P-0042"):
        render_index([replace(rows(report)[0], href=href)])


def test_no_patients_is_a_sentence_not_an_empty_table() -> None:
    html = render_index([])
    assert "no patients with a result yet" in html
    assert "<table" not in html
