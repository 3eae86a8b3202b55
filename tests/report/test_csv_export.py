"""CSV text that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io

import pytest

from cacapp.report.csv_export import to_csv


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_formula_stays_text(text: str) -> None:
    _, row = csv.reader(io.StringIO(to_csv(["slide"], [{"slide": text}]), newline=""))
    assert row == ["'" + text.replace("\r", "\n")]


def test_numbers_and_plain_words_stay_as_they_are() -> None:
    assert (
        to_csv(["a", "b", "c", "d", "e"], [{"a": -1.5, "b": "-1.5", "c": True, "d": None, "e": "P-1"}]) == "a,b,c,d,e\n-1.5,-1.5,1,,P-1\n"
    )
