"""cacapp assay: what ships, what a file says, and whether it is sound; counting with assays other than the default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cacapp.fish.assay.read import builtin_assays, load_assay, parse_assay

Run = Callable[..., Any]


def test_list_names_every_shipped_assay(cacapp: Run) -> None:
    ended = cacapp("assay", "list")
    assert ended.code == 0
    assert all(name in ended.out for name in builtin_assays())
    assert [a["name"] for a in cacapp("assay", "list", "--json").json] == list(builtin_assays())
    assert cacapp("assay", "list", "--quiet").out == ""


@pytest.mark.parametrize("name", builtin_assays())
def test_show_gives_probes_classes_and_criterion(cacapp: Run, name: str) -> None:
    assay = load_assay(name)
    ended = cacapp("assay", "show", name)
    assert ended.code == 0
    assert all(word in ended.out for word in (*assay.channels, *(c.name for c in assay.classes), assay.sha256))
    assert cacapp("assay", "show", name, "--json").json["sha256"] == assay.sha256


def test_show_puts_conditions_into_words(cacapp: Run) -> None:
    assert "3 or more signals in 2 or more probes" in " ".join(cacapp("assay", "show", "katz-4color").out.split())


def test_a_copy_of_a_shipped_file_is_sound(cacapp: Run, tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text(cacapp("assay", "show", "katz-4color", "--toml").out)
    ended = cacapp("assay", "check", "lab.toml")
    assert (ended.code, ended.out) == (0, "lab.toml is sound: katz-4color 2, 4 probes, 4 classes, 3 or more flagged cells per 100 µL\n")
    assert cacapp("assay", "check", "lab.toml", "--json").json["ok"] is True


def test_a_file_that_inherits_says_so_and_is_shown_complete(cacapp: Run, tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text('name = "lab"\nversion = "1"\nbase = "any-gain"\nbase_version = "2"\n[signals]\ndiameter_um = 0.9\n')
    ended = cacapp("assay", "check", "lab.toml")
    assert ended.code == 0
    assert ended.out.endswith("3 or more flagged cells per 100 µL, inherits any-gain 2 and katz-4color 2\n")
    assert cacapp("assay", "check", "lab.toml", "--json").json["inherits"] == ["any-gain 2", "katz-4color 2"]
    assert "Inherits any-gain 2 and katz-4color 2." in " ".join(cacapp("assay", "show", "lab.toml").out.split())
    (tmp_path / "complete.toml").write_text(cacapp("assay", "show", "lab.toml", "--toml").out)
    assert load_assay("complete.toml") == load_assay("lab.toml")
    assert cacapp("assay", "check", "complete.toml", "--json").json["inherits"] == []


def test_the_stored_text_of_a_file_that_inherits_is_complete(counted: Run, ask: Run, tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text(
        'name = "lab"\nversion = "1"\nbase = "katz-4color"\nbase_version = "2"\n[signals]\ndiameter_um = 0.9\n'
    )
    assert counted("count", "--assay", "lab.toml", "--min-evaluable", "5").code == 0
    ((stored,),) = ask("SELECT assay_toml FROM run WHERE assay_name = 'lab'")
    (tmp_path / "lab.toml").unlink()
    assert parse_assay(stored, "the run").signals.diameter_um == 0.9
    assert counted("report", "--format", "html", "--out", "pages").code == 0


def test_a_contradictory_file_is_refused_in_one_line_with_the_key(cacapp: Run, tmp_path: Path) -> None:
    text = cacapp("assay", "show", "katz-4color", "--toml").out
    (tmp_path / "lab.toml").write_text(text.replace('channel = "gold"', 'channel = "violet"'))
    ended = cacapp("assay", "check", "lab.toml")
    assert (ended.code, ended.out) == (2, "")
    assert ended.lines("error") == ["error: assay lab.toml: probes #3 channel: unknown channel 'violet'; there are aqua, green, gold, red"]
    assert cacapp("assay", "show", "nowhere").code == 2


@pytest.mark.slow
@pytest.mark.sqlite_only
@pytest.mark.parametrize("name", [n for n in builtin_assays() if n != "katz-4color"])
def test_a_slide_is_counted_with_each_assay_and_reported(counted: Run, name: str) -> None:
    assert counted("count", "--assay", name, "--min-evaluable", "5").code == 0
    assay = load_assay(name)
    (record,) = [r for r in counted("report", "--json").json if r["assay_name"] == name]
    words = {w for w in assay.patient.verdicts.model_dump().values() if w}
    assert record["verdict"] in words - {"undetermined", "insufficient"}
    assert (record["ratio"] is None) == (assay.ratio is None)
    if record["ratio"] is not None:
        cells = [c for c in counted("cells", "--json").json if c["evaluable"]]
        totals = {channel: sum(c[channel] for c in cells) for channel in ("red", "green")}
        assert record["ratio"]["signals"] == totals
        assert record["ratio"]["ratio"] == pytest.approx(totals["red"] / totals["green"])
    assert counted("report", "--format", "html", "--out", "pages").code == 0
    page = Path("pages/P1.html").read_text()
    assert record["verdict"] in page
    assert "Katz" not in page
    assert ("Ratio red / green" in page) == (record["ratio"] is not None)
