"""cacapp control on a record of donors and a patient, and what reports say with and without controls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cacapp.db.engine.session import Database
from cacapp.fish.control import clopper_pearson, upper_limit

Run = Callable[..., Any]
NORMAL, CAC = [2, 2, 2, 2], [3, 3, 2, 2]


@pytest.fixture
def donors(database: Database, put_slide: Run) -> Database:
    """Two donors without and with a false CAC, and a patient with three."""
    put_slide(database, "D1", "C1", [NORMAL] * 900)
    put_slide(database, "D2", "C2", [NORMAL] * 699 + [CAC])
    put_slide(database, "P1", "S1", [NORMAL] * 597 + [CAC] * 3)
    return database


@pytest.mark.slow
def test_without_controls_the_rate_is_unknown(donors: Database, cacapp: Run) -> None:
    assert cacapp("control", "list").out.startswith("no controls yet")
    ended = cacapp("control", "show")
    assert (ended.code, len(ended.lines("error"))) == (1, 1)
    record = next(r for r in cacapp("report", "--json").json if r["patient"] == "P1")
    assert record["false_cacs"] is None
    assert cacapp("report", "--format", "html", "--out", "pages", "--quiet").code == 0
    assert "The false-CAC rate is unknown" in Path("pages/P1.html").read_text()


@pytest.mark.slow
def test_controls_give_rate_cutoffs_and_each_patients_budget(donors: Database, cacapp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cacapp("control", "add", "C1", "C2", "--note", "donors of May").out.count("is a control") == 2
    assert cacapp("control", "add", "C1").out == "slide C1 was a control already\n"
    lines = cacapp("control", "list", "--json").json
    assert [(c["slide"], c["donor"], c["evaluable"], c["cacs"], c["note"]) for c in lines] == [
        ("C1", "D1", 900, 0, "donors of May"),
        ("C2", "D2", 700, 1, "donors of May"),
    ]
    (shown,) = cacapp("control", "show", "--cells", "600", "--json").json
    assert (shown["donors"], shown["evaluable"], shown["cacs"], shown["rate"]) == (2, 1600, 1, 1 / 1600)
    assert (shown["rate_low"], shown["rate_high"]) == pytest.approx(clopper_pearson(1, 1600))
    cutoff = {c["finding"]: c for c in shown["cutoffs"]}
    assert cutoff["cac"]["limit"] == pytest.approx(upper_limit(1, 1600))
    assert cutoff["aqua gain"]["cells"] == 1
    assert cutoff["red loss"]["limit"] == pytest.approx(upper_limit(0, 1600))
    assert "1 of 1,600 evaluable nuclei" in " ".join(cacapp("control", "show").out.split())

    record = next(r for r in cacapp("report", "--json").json if r["patient"] == "P1")
    false = record["false_cacs"]
    assert false["expected"] == pytest.approx(600 / 1600)
    assert false["controls"] == {"slides": 2, "donors": 2, "evaluable": 1600, "cacs": 1}
    assert false["beyond_normal"] == ["cac", "aqua gain", "green gain"]
    assert 0 < false["probability"] < false["probability_exact"] < false["probability_high"] < 1
    high = f"{600 * clopper_pearson(1, 1600)[1]:.3g}"
    assert "False expected: up to the end of the 95 % interval." in cacapp("patients").out
    monkeypatch.setattr("cacapp.cli.console.out._width", 140)
    shown = cacapp("patients").out
    assert "(0.38 false expected," in shown
    assert f"up to {high} by the 95 % interval)" in shown

    assert cacapp("report", "--patient", "P1", "--format", "html", "--out", "pages", "--quiet").code == 0
    page = " ".join(Path("pages/P1.html").read_text().split())
    assert "1 CAC among 1,600 evaluable cells on 2 slides of 2 healthy donors" in page
    assert f"0.38 false CACs are to be expected, up to {600 * clopper_pearson(1, 1600)[1]:.2f} by the 95 % interval; 3 were called" in page
    assert "Errors alone give 3 or more with probability" in page


def test_a_donor_is_not_held_against_his_own_slide(donors: Database, cacapp: Run) -> None:
    cacapp("control", "add", "C1", "C2")
    record = next(r for r in cacapp("report", "--json").json if r["patient"] == "D2")
    assert record["false_cacs"]["controls"] == {"slides": 1, "donors": 1, "evaluable": 900, "cacs": 0}


@pytest.mark.slow
def test_controls_counted_otherwise_are_left_out_and_reported(donors: Database, cacapp: Run, put_slide: Run) -> None:
    put_slide(donors, "D3", "C3", [CAC] * 50, detector="other")
    put_slide(donors, "D4", "C4", [CAC] * 50, assay="any-gain")
    cacapp("control", "add", "C1", "C3", "C4", "--force")
    record = next(r for r in cacapp("report", "--json").json if r["patient"] == "P1")
    assert record["false_cacs"]["controls"]["evaluable"] == 900
    assert len(cacapp("control", "show", "--json").json) == 3
    cacapp("report", "--patient", "P1", "--format", "html", "--out", "pages", "--quiet")
    assert "Left out: 2 control slides" in " ".join(Path("pages/P1.html").read_text().split())


@pytest.mark.slow
def test_a_removed_control_counts_no_more(donors: Database, cacapp: Run) -> None:
    cacapp("control", "add", "C1", "C2")
    assert cacapp("control", "remove", "C2").out == "slide C2 is no longer a control\n"
    assert [c["slide"] for c in cacapp("control", "list", "--json").json] == ["C1"]
    ended = cacapp("control", "remove", "C2")
    assert (ended.code, ended.lines("error")) == (2, ["error: slide C2 is not a control; the controls are: C1"])


def test_an_unknown_slide_is_named_and_nothing_is_written(donors: Database, cacapp: Run) -> None:
    ended = cacapp("control", "add", "C1", "C9")
    assert ended.code == 2
    assert "no slide 'C9'" in ended.err
    assert cacapp("control", "list", "--json").json == []


def test_a_slide_with_a_patients_cacs_is_added_with_force_alone(donors: Database, cacapp: Run) -> None:
    ended = cacapp("control", "add", "C1", "S1")
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.lines("error")
    assert line.startswith("error: slide S1 of P1: 3 CACs per 100 µL (3 of 600 evaluable nuclei); assay katz-4color calls 3 or more")
    assert "--force" in line
    assert cacapp("control", "list", "--json").json == [], "nothing is written"
    assert cacapp("control", "add", "C1", "S1", "--force").code == 0
    assert cacapp("control", "add", "S1", "--note", "asked the ward").out == "slide S1 was a control already\n"


def test_all_slides_of_a_donor_are_looked_at(donors: Database, cacapp: Run, put_slide: Run) -> None:
    put_slide(donors, "P1", "S2", [NORMAL] * 10)
    assert cacapp("control", "add", "S2").code == 0, "3 CACs in 200 µL are below the threshold"
    put_slide(donors, "P1", "S3", [NORMAL] * 7 + [CAC] * 9)
    assert "4 CACs per 100 µL (12 of 626 evaluable nuclei)" in cacapp("control", "add", "S1").err


def test_without_a_volume_the_number_of_cacs_is_held_against_the_threshold(donors: Database, cacapp: Run, ask: Callable[..., Any]) -> None:
    ask("UPDATE slide SET blood_volume_ul = NULL")
    assert "3 CACs of 600 evaluable nuclei (blood volume unknown)" in cacapp("control", "add", "S1").err
    assert cacapp("control", "add", "C2").code == 0


def test_a_few_nuclei_of_one_donor_show_how_little_they_say(donors: Database, cacapp: Run, put_slide: Run, monkeypatch: Any) -> None:
    put_slide(donors, "D5", "C5", [NORMAL] * 56)
    cacapp("control", "add", "C5")
    high = 600 * clopper_pearson(0, 56)[1]
    monkeypatch.setattr("cacapp.cli.console.out._width", 140)
    shown = cacapp("patients", "--patient", "P1").out
    assert "(0 false expected," in shown
    assert f"up to {high:.3g} by the 95 % interval)" in shown
