"""``cacapp pseudo-label`` as a person uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cacapp.cli import console

Run = Callable[..., Any]
DOCS = Path(__file__).parents[2] / "docs" / "pseudo-labels.md"
STRICT = ("--set", "min_area_um2=40")


@pytest.mark.slow
def test_masks_are_judged_written_and_shown(counted: Run, tmp_path: Path) -> None:
    ended = counted("pseudo-label", *STRICT, "--out", "set")
    assert (ended.code, ended.err) == (0, "")
    assert "pseudo-label S1: run 3, 2 of 2 frames" in ended.out
    assert "look at overlay.png" in ended.out
    labels = json.loads((tmp_path / "set" / "annotations.json").read_text())
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == ["annotations.json", "images", "overlay.png"]
    shown = counted("pseudo-label", "--stats", "--json").json
    assert shown["all"]["accepted"] == len(labels["annotations"])
    assert shown["all"]["reasons"] == {"single-cell: area below the minimum": shown["all"]["rejected"]}
    assert sum(row["masks"] for row in shown["all"]["agreed_by"]) == shown["all"]["masks"] == shown["all"]["found_by"]["watershed"]
    (run,) = shown["runs"]
    assert (run["slide"], run["run_id"], run["segment_run_id"]) == ("S1", 3, 1)


def test_the_table_gives_counts_shares_and_agreement(counted: Run) -> None:
    counted("pseudo-label", *STRICT)
    stats = counted("pseudo-label", "--stats", "--json").json["all"]
    printed = counted("pseudo-label", "--stats").out
    share = 100 * stats["rejected"] / stats["masks"]
    assert f"{stats['masks']} masks: {stats['accepted']} accepted, {stats['rejected']} rejected ({share:.1f} %)" in printed
    (row,) = [line for line in printed.splitlines() if "area below the minimum" in line]
    assert row.split()[-2:] == [str(stats["rejected"]), f"{share:.1f}"]
    for text in ("3 of 3", "watershed", "region-growing", "split-merge"):
        assert text in printed


@pytest.mark.parametrize("width", [24, 40, 80, 200])
def test_tables_fit_the_terminal(counted: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    counted("pseudo-label", "--set", "min_area_um2=40", "--min-agreement", "3")
    monkeypatch.setattr(console.out, "_width", width)
    lines = counted("pseudo-label", "--stats").out.splitlines()
    titles = ("Pseudo-labels of slide", "Agreement of prompt", "a mask with several")  # the terminal wraps these
    assert width < 40 or max(len(line) for line in lines if not line.startswith(titles)) <= width
    assert "…" not in "".join(lines)


def test_what_was_done_is_reported_and_the_data_set_written_all_the_same(counted: Run, tmp_path: Path) -> None:
    counted("pseudo-label")
    ended = counted("pseudo-label", "--out", "set")
    assert "already done as run 3" in ended.out
    assert (tmp_path / "set" / "annotations.json").is_file()
    assert "run 4" in counted("pseudo-label", "--force").out


def test_json_has_the_runs_and_the_data_set(counted: Run) -> None:
    found = counted("pseudo-label", "--out", "set", "--seed", "5", "--json").json
    (run,) = found["runs"]
    assert (run["slide"], run["step"], run["frames"], run["done"], run["failed"]) == ("S1", "pseudo-label", 2, 2, {})
    assert run["masks"] == run["accepted"] + run["rejected"]
    assert found["data_set"] == {"folder": "set", "images": 2, "labels": run["accepted"], "rejected": run["rejected"]}
    assert counted("pseudo-label", "--json").json["data_set"] is None


def test_quiet_prints_nothing(counted: Run) -> None:
    ended = counted("pseudo-label", "-q", "--out", "set")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert counted("pseudo-label", "--stats", "-q").out == ""


def test_without_an_accepted_label_there_is_no_data_set(counted: Run, tmp_path: Path) -> None:
    ended = counted("pseudo-label", "--set", "min_area_um2=5000", "--set", "max_area_um2=9000", "--out", "set")
    assert ended.code == 1
    assert len(ended.lines("warning")) == 1
    (error,) = ended.lines("error")
    assert "run 3 has no accepted pseudo-label; see why with: cacapp pseudo-label --stats --run 3" in error
    assert not (tmp_path / "set").exists()
    assert counted("pseudo-label", "--stats", "--run", "3").code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--filter", "nix"), "nix"),
        (("--prompters", "watershed,nix"), "nix"),
        (("--prompters", "none", "--min-agreement", "1"), "at most 0 prompt algorithms"),
        (("--set", "nix=1"), "nix"),
        (("--run", "2"), "is a count run"),
        (("--run", "99"), "no run 99"),
        (("--slide", "S9"), "S9"),
        (("--patient", "P9"), "P9"),
        (("--out", "file"), "is a file"),
        (("--stats", "--out", "set"), "leave out --out"),
        (("--stats", "--run", "1"), "is a segment run"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(counted: Run, args: tuple[str, ...], message: str) -> None:
    Path("file").touch()
    ended = counted("pseudo-label", *args)
    assert ended.code == 2
    (error,) = ended.lines("error")
    assert message in error
    assert [run["step"] for run in counted("runs", "list", "--json").json] == ["count", "segment"]


def test_without_pseudo_labels_statistics_say_how_to_make_some(counted: Run) -> None:
    ended = counted("pseudo-label", "--stats")
    assert ended.code == 1
    assert "make some with: cacapp pseudo-label" in ended.err


def test_a_slide_that_is_not_segmented_is_named(cacapp: Run, small_slide: Path) -> None:
    cacapp("ingest", small_slide, "--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100")
    ended = cacapp("pseudo-label")
    assert ended.code == 1
    assert "slide S1 is not segmented yet; run: cacapp segment S1" in ended.err


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_workers_judge_as_one_process_does(counted: Run) -> None:
    one = counted("pseudo-label", *STRICT, "--json").json["runs"][0]
    two = counted("pseudo-label", *STRICT, "--workers", "2", "--force", "--json").json["runs"][0]
    assert (one["accepted"], one["rejected"]) == (two["accepted"], two["rejected"])


def test_the_run_is_listed_with_its_algorithms(counted: Run) -> None:
    counted("pseudo-label")
    assert "single-cell" in counted("runs", "show", "3").out
    shown = counted("runs", "show", "3", "--json").json
    assert shown["source_run_id"] == 1
    assert shown["params"]["pseudo-label"] == {
        "prompters": ["watershed", "region-growing", "split-merge"],
        "min_agreement": 0,
        "same_nucleus_iou": 0.5,
    }
    assert all("limits" in line["details"] for line in shown["ledger"])


@pytest.mark.slow
def test_the_commands_of_the_guide_run(cacapp: Run, small_slide: Path, tmp_path: Path) -> None:
    cacapp("ingest", small_slide, "--patient", "P1", "--slide", "S001", "--blood-volume-ul", "100")
    commands = [line for block in re.findall(r"```\n(.*?)```", DOCS.read_text(), re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 4
    for line in commands:
        program, *args = line.split()
        assert program == "cacapp"
        ended = cacapp(*args)
        assert (ended.code, ended.err) == (0, ""), line
    assert (tmp_path / "labels" / "overlay.png").is_file()


def test_help_names_every_option(cacapp: Run) -> None:
    printed = cacapp("pseudo-label", "--help").out
    for option in (
        "--run",
        "--filter",
        "--prompters",
        "--min-agreement",
        "--out",
        "--stats",
        "--seed",
        "--set",
        "--force",
        "--json",
        "--quiet",
        "--db",
    ):
        assert option in printed
