"""Tables fit the terminal, and no word is ever broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.text import Text

from cacapp.cli import console, patients
from cacapp.cli.tables import GAP, fitted, print_table
from cacapp.results.extras import Extras

WORDS = st.lists(st.integers(1, 12), min_size=1, max_size=6).map(lambda lengths: " ".join("x" * n for n in lengths))
"""Only the lengths of words matter."""


@pytest.fixture
def width(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the terminal's width in characters."""
    return lambda columns: monkeypatch.setattr(console.out, "_width", columns)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine
@given(st.lists(st.lists(WORDS, min_size=3, max_size=3), min_size=2, max_size=5), st.integers(20, 200))
def test_columns_take_no_more_than_the_terminal_and_no_less_than_their_words(columns: list[list[str]], terminal: int) -> None:
    texts = [[Text(cell) for cell in column] for column in columns]
    words = [max(len(word) for cell in column for word in cell.split()) for column in columns]
    lines = [max(len(cell) for cell in column) for column in columns]
    gaps = GAP * (len(columns) - 1)
    widths = fitted(texts, terminal)
    if widths is None:
        assert sum(words) + gaps > terminal
        return
    assert all(word <= w <= line for word, w, line in zip(words, widths, lines, strict=True))
    assert sum(widths) + gaps == min(terminal, sum(lines) + gaps)


@pytest.mark.parametrize("terminal", [30, 60, 80, 160])
def test_every_word_is_printed_whole_within_the_width(
    width: Callable[[int], None], capsys: pytest.CaptureFixture[str], terminal: int
) -> None:
    width(terminal)
    rows = [["P01-negative", "not increased (Katz)", 12], ["P[red]02", "undetermined since nobody knows", None]]
    print_table(["patient", "verdict", ("cells", "right")], rows)
    printed = capsys.readouterr().out
    for word in ("P01-negative", "P[red]02", "increased", "undetermined", "12", "–"):
        assert word in printed
    assert max(map(len, printed.splitlines())) <= max(terminal, len("verdict: undetermined since nobody knows"))


def test_rows_that_do_not_fit_become_blocks(width: Callable[[int], None], capsys: pytest.CaptureFixture[str]) -> None:
    width(20)
    print_table(["patient", ("evaluable\ncells", "right")], [["P01-negative-of-the-south", "5\nof 7"]])
    assert capsys.readouterr().out.splitlines() == ["patient: P01-negative-of-the-south", "evaluable cells: 5, of 7", ""]


class Result:
    """A patient's numbers."""

    def __init__(self, **changed: Any) -> None:
        self.__dict__ |= {
            **{"cells": 51, "evaluable": 51, "classes": {"normal": 44, "loss": 1, "gain": 0, "cac": 6, "other": 0}, "cacs": 6},
            **{"cacs_balanced_polyploid": 6, "blood_volume_ul": 100.0, "cacs_per_100ul": 6.0, "cacs_per_100ul_low": 2.2},
            **{"cacs_per_100ul_high": 13.06, "verdict": "increased risk (Katz)", "verdict_without_polyploid": "not increased (Katz)"},
            **{"frames": 3, "frames_failed": 1, "assay": "katz-4color 2"},
            **changed,
        }


class Summary:
    """A patient with a result."""

    def __init__(self, code: str, result: Result | None) -> None:
        self.patient = type("Patient", (), {"code": code})
        self.result = result


FOUND: Any = [
    Summary("P01-negative", Result(verdict="not increased (Katz)", verdict_without_polyploid="not increased (Katz)")),
    Summary("P03-polyploid", Result()),
    Summary("P05", Result(blood_volume_ul=None, cacs_per_100ul=None, verdict="undetermined", verdict_without_polyploid="undetermined")),
    Summary("P06", None),
]


@pytest.mark.parametrize("terminal", [80, 110, 140, 200])
def test_patients_are_a_table_at_every_usual_width(width: Callable[[int], None], capsys: pytest.CaptureFixture[str], terminal: int) -> None:
    width(terminal)
    patients.print_patients_table([patients.Line(summary, summary.result, Extras()) for summary in FOUND])
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert max(map(len, lines)) <= terminal
    assert any(set(line.strip()) == {"─"} for line in lines)  # a table, not blocks
    for word in (
        "P01-negative",
        "P03-polyploid",
        "katz-4color 2",
        "51 of 51",
        "(2.20–13.06)",
        "polyploids:",
        "undetermined",
        "unknown",
        "counted",
        "missing",
    ):
        assert word in printed
    assert ("44 normal" in printed) == (terminal < patients.WIDE)
    assert "other" not in printed
    if terminal >= 140:
        assert "without polyploids: not increased (Katz)" in printed


@pytest.mark.parametrize("terminal", [80, 110, 200])
def test_patients_of_two_assays_name_the_assay_in_each_row(
    width: Callable[[int], None], capsys: pytest.CaptureFixture[str], terminal: int
) -> None:
    width(terminal)
    lines = [patients.Line(FOUND[1], Result(assay=name), Extras()) for name in ("strict 2", "katz-4color 2")]
    patients.print_patients_table(lines)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= terminal
    assert [printed.count(word) for word in ("assay", "strict", "katz-4color", "P03-polyploid")] == [1, 1, 1, 2]


def test_every_table_of_a_real_record_keeps_its_words(cacapp: Callable[..., Any], small_slide: Path, width: Callable[[int], None]) -> None:
    who = ("--patient", "P01-negative", "--slide", "S-2026-0001", "--blood-volume-ul", "100")
    assert cacapp("run", small_slide, *who, "--segmenter", "coarse", "--no-report").code == 0
    expected = {
        ("patients",): ["P01-negative", "insufficient"],
        ("runs", "list"): ["S-2026-0001", "P01-negative", "watershed", "single-cell", "succeeded"],
        ("runs", "show", 1): ["frame00", "frame01", "fingerprint", "watershed"],
        ("plugins", "list"): ["signal-detector", "region-growing", "watershed"],
        ("plugins", "show", "single-cell"): ["min_area_um2", "roundness"],
        ("cells",): ["S-2026-0001", "frame01", "normal"],
        ("cells", "--class", "cac"): ["S-2026-0001", "frame01", "cac"],
        ("simulate", "--parameters"): ["dapi_gv", "overlap_max", "cac_share"],
    }
    for terminal in (80, 160):
        width(terminal)
        for args, words in expected.items():
            ended = cacapp(*args)
            assert ended.code == 0
            assert max(map(len, ended.out.splitlines())) <= terminal, args
            assert [word for word in words if word not in ended.out] == [], args
