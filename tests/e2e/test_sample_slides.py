"""Five patients whose verdicts are known, from slides to results, exports and reports, through the command line."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pyarrow import parquet
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from cacapp.simulation.samples import SAMPLE_MIN_EVALUABLE_CELLS
from cacapp.types import PROBE_CHANNELS

CHECKOUT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "cacapp")

Run = Callable[..., Any]
SLIDES = CHECKOUT / "sample_slides"
IDS = ("run_id", "segment_run_id", "cell_id", "count_run_ids", "created_at")

VERDICTS = {
    "P01-negative": ("not increased (Katz)", "not increased (Katz)"),
    "P02-positive": ("increased risk (Katz)", "increased risk (Katz)"),
    "P03-polyploid": ("increased risk (Katz)", "not increased (Katz)"),
    "P04-few": ("insufficient", "insufficient"),
    "P05-novolume": ("undetermined", "undetermined"),
}


def ask(cacapp: Run, folder: Path, *args: object) -> Any:
    return cacapp(*args, "--json", "--db", folder / "cacapp.db").json


def without_ids(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key not in IDS} for record in records]


def truth(slide: str) -> dict[tuple[str, int], dict[str, str]]:
    with (SLIDES / slide / "truth.csv").open(newline="") as file:
        return {(row["frame"], int(row["label"])): row for row in csv.DictReader(file)}


def test_each_patient_gets_the_verdict_that_is_true(cacapp: Run, demo: Path) -> None:
    found = {p["patient"]: (p["verdict"], p["verdict_without_polyploid"]) for p in ask(cacapp, demo, "patients")}
    assert found == VERDICTS


def test_the_demo_says_where_everything_is_and_what_to_type_next(demo: Path) -> None:
    printed = (demo / "printed.txt").read_text()
    for text in (
        *VERDICTS,
        "sample_slides (of this checkout)",
        str(demo / "reports" / "index.html"),
        "cacapp run FOLDER",
        "Research use only",
    ):
        assert text in printed


def test_counts_agree_with_the_truth(cacapp: Run, demo: Path) -> None:
    cells = ask(cacapp, demo, "cells")
    exact, matched, caught, false = 0, 0, 0, 0
    known = {slide: truth(slide) for slide in {c["slide"] for c in cells}}
    for slide, true in known.items():
        labels = {frame: tifffile.imread(SLIDES / slide / f"{frame}_labels.tif") for frame, _ in true}
        for cell in (c for c in cells if c["slide"] == slide and c["evaluable"]):
            label = int(labels[cell["frame"]][round(cell["y"]), round(cell["x"])])
            assert label, f"no nucleus at {cell['slide']} {cell['frame']} {cell['label']}"
            row = true[cell["frame"], label]
            copies = [int(row[probe]) for probe in PROBE_CHANNELS]
            is_cac = sum(n >= 3 for n in copies) >= 2
            matched += 1
            exact += [cell[probe] for probe in PROBE_CHANNELS] == copies
            caught += is_cac and cell["is_cac"]
            false += cell["is_cac"] and not is_cac
    nuclei = sum(map(len, known.values()))
    cacs = sum(sum(int(row[p]) >= 3 for p in PROBE_CHANNELS) >= 2 for true in known.values() for row in true.values())
    assert matched >= 0.95 * nuclei
    assert exact >= 0.97 * matched
    assert caught >= 0.9 * cacs
    assert false == 0


def test_the_numbers_of_a_patient_are_the_sums_over_its_cells(cacapp: Run, demo: Path) -> None:
    for patient in ask(cacapp, demo, "patients"):
        cells = ask(cacapp, demo, "cells", "--patient", patient["patient"])
        evaluable = [c for c in cells if c["evaluable"]]
        assert (patient["cells"], patient["evaluable"]) == (len(cells), len(evaluable))
        assert {k: n for k, n in patient["classes"].items() if n} == {
            k: n for k in patient["classes"] if (n := sum(c["class"] == k for c in evaluable))
        }
        assert patient["cacs"] == sum(c["is_cac"] for c in evaluable)
        assert patient["cacs_balanced_polyploid"] == sum(c["subtype"] == "balanced_polyploid" for c in evaluable)
        if patient["blood_volume_ul"]:
            assert patient["cacs_per_100ul"] == pytest.approx(100 * patient["cacs"] / patient["blood_volume_ul"])


def test_the_reports_hold_the_numbers(cacapp: Run, demo: Path) -> None:
    index = (demo / "reports" / "index.html").read_text()
    for patient in ask(cacapp, demo, "patients"):
        page = (demo / "reports" / f"{patient['patient']}.html").read_text()
        text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
        assert patient["patient"] in index
        assert patient["verdict"] in text
        assert str(patient["evaluable"]) in text
        assert str(SAMPLE_MIN_EVALUABLE_CELLS) in text  # the limit that was used, not the assay's
        if patient["cacs_per_100ul"]:
            assert f"{patient['cacs_per_100ul']:.2f}".rstrip("0").rstrip(".") in text
        flagged = sum(
            c["is_cac"] or c["needs_review"] for c in ask(cacapp, demo, "cells", "--patient", patient["patient"]) if c["evaluable"]
        )
        assert page.count("data:image/") >= 6 * flagged  # a composite and five channels a cell
        assert not re.search(r'(?:src|href)="https?:', page)


# Exports


def test_label_images_and_cells_csv_are_as_the_scorer_reads_them(cacapp: Run, demo: Path, tmp_path: Path) -> None:
    assert cacapp("export", tmp_path / "out", "--slide", "S02", "--db", demo / "cacapp.db").code == 0
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["cells.csv", "frame00_labels.tif", "frame01_labels.tif"]
    with (tmp_path / "out" / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = ["frame", "label", "y", "x", "area_px", *PROBE_CHANNELS, "class", "is_cac", "needs_review", "evaluable", "exclusion_reason"]
    assert [c for c in rows[0] if c in wanted] == wanted
    assert {row["is_cac"] for row in rows} <= {"0", "1"}
    for frame in ("frame00", "frame01"):
        labels = tifffile.imread(tmp_path / "out" / f"{frame}_labels.tif")
        assert (labels.dtype, labels.shape) == (np.int32, (640, 672))
        own = [row for row in rows if row["frame"] == frame]
        assert set(np.unique(labels)) - {0} == {int(row["label"]) for row in own}
        for row in own:
            painted = int((labels == int(row["label"])).sum())
            assert painted <= int(row["area_px"])  # overlaps are painted once
            assert painted >= 0.8 * int(row["area_px"])


def test_every_slide_gets_a_folder_where_there_are_several(cacapp: Run, demo: Path, tmp_path: Path) -> None:
    paths = cacapp("export", tmp_path / "out", "--json", "--db", demo / "cacapp.db").json
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["S01", "S02", "S03", "S04", "S05"]
    assert all(Path(p).is_file() for p in paths)


def test_geojson_holds_simple_closed_polygons_of_the_masks_size(cacapp: Run, demo: Path, tmp_path: Path) -> None:
    cacapp("export", tmp_path, "--slide", "S02", "--format", "geojson", "--db", demo / "cacapp.db")
    cells = {(c["frame"], c["label"]): c for c in ask(cacapp, demo, "cells", "--slide", "S02")}
    seen = 0
    for path in sorted(tmp_path.glob("*.geojson")):
        for feature in json.loads(path.read_text())["features"]:
            cell = cells[path.stem, int(feature["properties"]["name"])]
            (ring,) = feature["geometry"]["coordinates"]
            points = np.array(ring)
            assert ring[0] == ring[-1]
            assert len({tuple(p) for p in ring}) == len(ring) - 1
            x, y = points[:-1].T
            area = abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2
            assert area == pytest.approx(cell["area_px"], rel=0.02)  # but for holes
            assert points.min() >= 0
            assert (points.max(axis=0) <= [672, 640]).all()
            assert feature["properties"]["classification"]["name"] == (cell["class"] if cell["evaluable"] else "not evaluable")
            seen += 1
    assert seen == len(cells)


def test_coco_masks_decode_to_the_same_pixels_with_any_tool(cacapp: Run, demo: Path, tmp_path: Path) -> None:
    db = demo / "cacapp.db"
    cacapp("export", tmp_path, "--slide", "S02", "--format", "coco", "--db", db)
    cacapp("export", tmp_path, "--slide", "S02", "--format", "tiff", "--db", db)
    dataset = COCO(str(tmp_path / "annotations.json"))
    cells = {c["cell_id"]: c for c in ask(cacapp, demo, "cells", "--slide", "S02")}
    assert set(dataset.getAnnIds()) == set(cells)
    painted = {i: np.zeros((640, 672), np.int32) for i in dataset.getImgIds()}
    for annotation in sorted(dataset.loadAnns(dataset.getAnnIds()), key=lambda a: -a["area"]):
        mask = dataset.annToMask(annotation).astype(bool)
        assert mask.shape == (640, 672)
        assert mask.sum() == annotation["area"] == coco_mask.area(annotation["segmentation"]) == cells[annotation["id"]]["area_px"]
        assert coco_mask.toBbox(annotation["segmentation"]).tolist() == annotation["bbox"]
        painted[annotation["image_id"]][mask] = cells[annotation["id"]]["label"]
    for image in dataset.loadImgs(dataset.getImgIds()):
        frame = Path(image["file_name"]).name.removesuffix(".ome.tif")
        np.testing.assert_array_equal(painted[image["id"]], tifffile.imread(tmp_path / f"{frame}_labels.tif"))


def test_parquet_holds_what_json_says(cacapp: Run, demo: Path, tmp_path: Path) -> None:
    assert cacapp("cells", "--format", "parquet", "--out", tmp_path / "cells.parquet", "--db", demo / "cacapp.db").code == 0
    assert parquet.read_table(tmp_path / "cells.parquet").to_pylist() == ask(cacapp, demo, "cells")
    assert cacapp("cells", "--format", "parquet", "--db", demo / "cacapp.db").code == 2


# Once and again


def record_of(cacapp: Run, db: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    cells = cacapp("cells", "--json", "--db", db).json
    patients = cacapp("patients", "--json", "--db", db).json
    return without_ids(cells), without_ids(patients)


def number(db: Path, query: str) -> int:
    """What a query counts in a database another process is working on; 0 while it is not made yet."""
    try:
        with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
            found: int = connection.execute(query).fetchone()[0]
            return found
    except sqlite3.Error:
        return 0


def frames_done(db: Path) -> int:
    return number(db, "SELECT count(*) FROM run_frame WHERE status = 'done'")


def runs_begun(db: Path) -> int:
    return number(db, "SELECT count(*) FROM run")


@pytest.mark.parametrize("at_frames", [2, 10], ids=["segmenting", "counting"])
def test_a_killed_run_is_resumed_to_the_same_rows(cacapp: Run, demo: Path, tmp_path: Path, at_frames: int) -> None:
    db = tmp_path / "killed.db"
    options = ["--manifest", str(SLIDES / "slides.csv"), "--min-evaluable", str(SAMPLE_MIN_EVALUABLE_CELLS), "--no-report"]
    command = ["run", *options, "--db", str(db)]
    process = subprocess.Popen([*PROGRAM, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and frames_done(db) < at_frames:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert at_frames <= frames_done(db) < 18
    ended = cacapp(*command)
    assert ended.code == 0
    assert frames_done(db) == 18
    assert record_of(cacapp, db) == record_of(cacapp, demo / "cacapp.db")
    runs = cacapp("runs", "list", "--json", "--db", db).json
    assert len(runs) == 10  # the killed run was finished, none begun anew
    assert {r["status"] for r in runs} == {"succeeded"}


def test_the_demo_again_repeats_nothing(cacapp: Run, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = record_of(cacapp, demo / "cacapp.db"), ask(cacapp, demo, "runs", "list")
    monkeypatch.chdir(CHECKOUT)
    assert cacapp("demo", "--out", demo).code == 0
    ended = cacapp("segment", "--db", demo / "cacapp.db")
    assert ended.out.count("already done") == 5
    after = record_of(cacapp, demo / "cacapp.db"), ask(cacapp, demo, "runs", "list")
    assert after[0] == before[0]
    assert [(r["id"], r["finished_at"]) for r in after[1]] == [(r["id"], r["finished_at"]) for r in before[1]]


def test_every_command_that_the_readme_shows_exists_with_its_options(cacapp: Run) -> None:
    text = (CHECKOUT / "README.md").read_text().replace("\\\n", " ")
    shown = re.findall(r"^\s*(?:\$ )?cacapp ([a-z][^\n#]*)", "\n".join(re.findall(r"^```.*?^```", text, re.S | re.M)), re.M)
    shown += re.findall(r"`cacapp ([a-z][^`\n]*)`", text)
    assert len(shown) > 10
    groups = {"runs", "plugins", "db", "users", "control", "assay", "models", "weights"}
    for line in shown:
        words = line.split()
        command = words[: 2 if words[0] in groups else 1]
        ended = cacapp(*command, "--help")
        assert ended.code == 0, line
        assert [o for o in re.findall(r"(?<![\w-])--[a-z][a-z-]*", line) if o not in ended.out] == [], line


SLOW = ("segment", "--segmenter", "sam")
"""Takes seconds for each frame, so that a test can stop it half-way on any machine."""


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("delay_s", [0.2, 0.6, 1.2])
def test_ctrl_c_while_the_workers_start_is_one_line(cacapp: Run, tmp_path: Path, delay_s: float) -> None:
    db = tmp_path / "stopped.db"
    assert cacapp("ingest", "--manifest", SLIDES / "slides.csv", "--db", db).code == 0
    command = [*PROGRAM, *SLOW, "--workers", "2", "--db", str(db)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and runs_begun(db) < 1:
        time.sleep(0.01)
    time.sleep(delay_s)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err == "error: stopped; finished work is kept, repeat the command to resume\n"


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_is_one_line_and_the_same_command_resumes(cacapp: Run, tmp_path: Path) -> None:
    db = tmp_path / "stopped.db"
    command = [*SLOW, "--db", str(db)]
    assert cacapp("ingest", "--manifest", SLIDES / "slides.csv", "--db", db).code == 0
    process = subprocess.Popen(
        [*PROGRAM, *command, "--workers", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while process.poll() is None and frames_done(db) < 2:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, err = process.communicate()
    assert process.returncode == 130
    assert err == "error: stopped; finished work is kept, repeat the command to resume\n"
    assert 2 <= frames_done(db) < 9
    assert cacapp(*command).code == 0
    assert frames_done(db) == 9
