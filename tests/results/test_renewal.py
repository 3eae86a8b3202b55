"""Results of older code are shown as they are stored, with the slides they concern and the command that renews them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cacapp.db.engine.session import Database
from tests.steps.conftest import put

Run = Callable[..., Any]


@pytest.fixture
def newer_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the code that counts is another."""
    for module in ("cacapp.steps.count", "cacapp.runs.environment", "cacapp.results.renewal"):
        monkeypatch.setattr(f"{module}.code_digest", lambda: "f" * 64)


def test_a_result_of_todays_code_needs_no_renewal(counted: Run) -> None:
    ended = counted("patients")
    assert ended.lines("warning") == []
    assert counted("report", "--json").json[0]["older_code"] is None
    assert "older_code" not in counted("report", "--format", "csv").out


@pytest.mark.slow
def test_results_of_older_code_are_shown_with_the_command_that_renews_them(counted: Run, newer_code: None) -> None:
    before = counted("report", "--json").json[0]
    assert before["older_code"] == {"slides": ["S1"], "renew": ["cacapp count S1"]}
    for command in (["patients"], ["report"], ["report", "--format", "html"]):
        ended = counted(*command)
        (line,) = ended.lines("warning")
        assert "slide S1 was counted by older code" in line
        assert line.endswith("cacapp count S1")
        assert ended.code == 0

    again = counted("count", "S1", "--json").json
    assert [one["repeated"] for one in again] == [False], "the same slide, detector and assay, but other code"
    after = counted("report", "--json").json[0]
    assert after["older_code"] is None
    assert after["count_run_ids"] != before["count_run_ids"]
    assert {k: after[k] for k in ("cells", "classes", "cacs", "verdict")} == {k: before[k] for k in ("cells", "classes", "cacs", "verdict")}
    assert counted("patients").lines("warning") == []
    assert [one["repeated"] for one in counted("count", "S1", "--json").json] == [True]


def test_a_count_that_recorded_no_code_is_older(counted: Run, ask: Callable[..., Any]) -> None:
    ask("UPDATE run SET algorithms = '{\"chosen\": []}' WHERE step = 'count'")
    assert counted("report", "--json").json[0]["older_code"]["slides"] == ["S1"]


def test_the_command_repeats_the_options_of_the_count(counted: Run, request: pytest.FixtureRequest) -> None:
    options = ["--assay", "gain-or-loss", "--set", "min_snr=5.0", "--min-evaluable", "10"]
    assert counted("count", "S1", *options, "--quiet").code == 0
    request.getfixturevalue("newer_code")
    (command,) = counted("report", "--json").json[0]["older_code"]["renew"]
    assert command == " ".join(["cacapp", "count", "S1", *options])
    assert counted(*command.split()[1:]).code == 0
    assert counted("report", "--json").json[0]["older_code"] is None


def test_slides_counted_alike_are_renewed_by_one_command(database: Database, cacapp: Run, request: pytest.FixtureRequest) -> None:
    for patient, slide in (("P1", "S1"), ("P1", "S2"), ("P2", "S3")):
        put(database, patient, slide, [[2, 2, 2, 2]] * 3)
    put(database, "P3", "S4", [[2, 2, 2, 2]] * 3, assay="any-gain")
    assert cacapp("patients").lines("warning") == []
    request.getfixturevalue("newer_code")
    lines = cacapp("patients").lines("warning")
    assert [line.rpartition(": ")[2] for line in lines] == ["cacapp count S1 S2 S3", "cacapp count S4 --assay any-gain"]
    assert "3 slides were counted by older code" in lines[0]
