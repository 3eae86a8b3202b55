"""cacapp compare: a run beside a person's counts, matched by position or label, and files it refuses."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from sqlmodel import select

from cacapp.db.engine.session import Database
from cacapp.db.tables import FrameRow

Run = Callable[..., Any]
NORMAL, CAC, GAIN = [2, 2, 2, 2], [3, 3, 2, 2], [2, 3, 2, 2]
COLUMNS = "frame, y and x (px) or label, aqua, green, gold, red, and optionally class"
HEAD = "frame,y,x,aqua,green,gold,red"


@pytest.fixture
def run_id(database: Database, put_slide: Run) -> int:
    """Five nuclei at (4, 4), (4, 14) ... (y, x), the last not evaluable."""
    number: int = put_slide(database, "P1", "S1", [NORMAL, CAC, CAC, GAIN, NORMAL], evaluable=[True] * 4 + [False])
    return number


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_nuclei_are_matched_by_position_and_confused_by_probe_and_class(run_id: int, cacapp: Run, tmp_path: Path) -> None:
    rows = ("f1,4.4,4.2,2,2,2,2", "f1,3,15,3,3,2,2", "f1,5,24,2,2,2,2", "f1,4,34,2,6,2,2", "f1,4,44,2,2,2,2", "f1,90,400,4,4,4,4")
    truth = write(tmp_path / "truth.csv", HEAD, *rows)
    found = cacapp("compare", run_id, truth, "--json").json
    assert (found["matched_by"], found["matched"], found["evaluable"], found["missed"], found["not_in_truth"]) == ("position", 5, 4, 1, 0)
    assert found["counts"]["green"] == [[0] * 6, [0] * 6, [0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 0, 0], [0] * 6, [0, 0, 0, 1, 0, 0]]
    assert (found["exact"]["aqua"]["k"], found["exact"]["aqua"]["n"]) == (3, 4)
    assert found["sensitivity"] | {"low": 0, "high": 0} == {"k": 1, "n": 1, "share": 1.0, "low": 0, "high": 0}
    assert (found["specificity"]["k"], found["specificity"]["n"]) == (2, 3)
    assert (found["found"]["k"], found["found"]["n"]) == (1, 2)
    classes = {(c["truth"], c["called"]): c["cells"] for c in found["classes"]}
    assert classes == {
        ("normal", "normal"): 1,
        ("cac", "cac"): 1,
        ("normal", "cac"): 1,
        ("gain", "gain"): 1,
        ("normal", "not evaluable"): 1,
    }
    assert [(w["label"], w["truth"], w["counted"]) for w in found["worst"]] == [(3, "2-2-2-2", "3-3-2-2"), (4, "2-6-2-2", "2-3-2-2")]
    shown = cacapp("compare", run_id, truth).out
    assert "5 of 6 true nuclei matched by position, 4 of them evaluable; 0 cells of the run not in the file" in " ".join(shown.split())
    assert "Worst cells" in shown


def test_labels_serve_where_there_are_no_positions(run_id: int, cacapp: Run, tmp_path: Path) -> None:
    truth = write(tmp_path / "t.csv", "red,gold,green,aqua,label,frame,who", "2,2,2,2,1,f1,me", "2,2,3,3,3,f1,me", "2,2,2,2,77,f1,me")
    found = cacapp("compare", run_id, truth, "--json").json
    assert (found["matched_by"], found["matched"], found["missed"], found["not_in_truth"]) == ("label", 2, 1, 3)
    assert found["worst"] == []


def test_a_class_column_goes_before_the_counts(run_id: int, cacapp: Run, tmp_path: Path) -> None:
    truth = write(tmp_path / "t.csv", HEAD + ",class", "f1,4,14,3,3,2,2,normal")
    assert cacapp("compare", run_id, truth, "--json").json["classes"] == [{"truth": "normal", "called": "cac", "cells": 1}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), f"empty; its first line must name the columns: {COLUMNS}"),
        ((HEAD,), "no rows below the column names"),
        (
            ("frame,y,x,aqua,green,gold", "f1,4,4,2,2,2"),
            f"no column red; the columns for assay katz-4color are {COLUMNS}",
        ),
        (
            ("frame,aqua,green,gold,red", "f1,2,2,2,2"),
            f"no columns y and x, and no column label, to find the cells by; the columns are {COLUMNS}",
        ),
        ((HEAD + ",red", "f1,4,4,2,2,2,2,2"), "column red is there twice"),
        ((HEAD, "f1,4,4,2,two,2,2"), ", line 2: green is 'two'; give a whole number, 0 or more"),
        ((HEAD, "f1,4,4,2,2,2,2", "f1,4,14,2,-1,2,2"), ", line 3: green is '-1'; give a whole number, 0 or more"),
        ((HEAD, "f1,4,4,2,2.0,2,2"), ", line 2: green is '2.0'; give a whole number, 0 or more"),
        ((HEAD, "f1,nan,4,2,2,2,2"), ", line 2: y is 'nan'; give a position in px"),
        ((HEAD, "f1,4,4,2,2,2"), ", line 2: not as many values as column names"),
        ((HEAD, "f1,4,4,2,2,2,2,9"), ", line 2: more values than columns"),
        ((HEAD, "f9,4,4,2,2,2,2"), ", line 2: slide S1 has no frame 'f9'; it has f1"),
        ((HEAD, ",4,4,2,2,2,2"), ", line 2: frame is empty"),
        ((HEAD + ",class", "f1,4,4,2,2,2,2,odd"), ", line 2: assay katz-4color has no class 'odd'; it has cac, gain, loss, normal, other"),
        (
            ("frame,label,aqua,green,gold,red", "f1,1,2,2,2,2", "f1,1,2,2,2,2"),
            ", line 3: frame f1, label 1 is there twice",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    run_id: int, cacapp: Run, tmp_path: Path, lines: tuple[str, ...], message: str
) -> None:
    (tmp_path / "t.csv").write_text("\n".join(lines))
    ended = cacapp("compare", run_id, "t.csv")
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.lines("error")
    assert line.startswith("error: truth t.csv")
    assert message in line


def test_other_mistakes_are_named_too(run_id: int, cacapp: Run, tmp_path: Path) -> None:
    truth = write(tmp_path / "t.csv", HEAD, "f1,4,4,2,2,2,2")
    assert "there is no run 99" in cacapp("compare", 99, truth).err
    assert "is a segment run" in cacapp("compare", run_id - 1, truth).err
    assert "No such file" in cacapp("compare", run_id, "none.csv").err
    assert "choose one of auto, position, label" in cacapp("compare", run_id, truth, "--match", "luck").err
    assert "needs the column label" in cacapp("compare", run_id, truth, "--match", "label").err
    (tmp_path / "raw.csv").write_bytes(b"frame,\xff")
    assert "not UTF-8" in cacapp("compare", run_id, "raw.csv").err


@pytest.mark.slow
def test_a_simulated_slide_is_compared_with_its_truth_and_the_worst_are_drawn(counted: Run, small_slide: Path) -> None:
    lines = list(csv.DictReader((small_slide / "truth.csv").read_text().splitlines()))
    for row in lines[:4]:
        row["green"] = str(int(row["green"]) + 3)
    with Path("truth.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    ended = counted("compare", 2, "truth.csv", "--out", "seen", "--worst", "5", "--json")
    assert ended.code == 0
    assert ended.json["matched"] >= 0.8 * len(lines)
    assert ended.json["exact"]["gold"]["share"] > 0.8
    assert ended.json["worst"]
    assert len(Path("seen/cells.csv").read_text().splitlines()) == 1 + len(lines)
    sheet = cv2.imread("seen/worst.png")
    assert sheet is not None
    # Words and six pictures of 160 px a row.
    assert sheet.shape[1] > 6 * 160
    assert sheet.shape[0] > 160 * len(ended.json["worst"])


@pytest.mark.parametrize(
    ("rows", "way"),
    [
        (("f1;14,2;4,1", "f1;24;4", "f1;34;3,5", "f1;44;4"), "px-exchanged"),
        (("f1;0,4;1,4", "f1;0,4;2,4", "f1;0,4;3,4", "f1;0,4;4,4"), "um"),
        (("f1;1,4;0,4", "f1;2,4;0,4", "f1;3,4;0,4", "f1;4,4;0,4"), "um-exchanged"),
    ],
)
def test_positions_in_micrometres_or_exchanged_are_named_and_read_when_stated(
    run_id: int, cacapp: Run, tmp_path: Path, database: Database, rows: tuple[str, ...], way: str
) -> None:
    with database.session() as session:
        frame = session.exec(select(FrameRow)).one()
        frame.pixel_size_um = 0.1
        session.add(frame)
    truth = write(tmp_path / "t.csv", "Frame;Y;X;Aqua;Green;Gold;Red", *(f"{row};2;2;2;2" for row in rows))
    ended = cacapp("compare", run_id, truth)
    assert ended.code == 2
    assert f"if they are, say --coordinates {way}" in ended.err
    assert cacapp("compare", run_id, truth, "--coordinates", way, "--json").json["matched"] == 4
