"""``cacapp evaluate`` and ``cacapp benchmark`` as a user meets them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

Run = Callable[..., Any]

SCORE_KEYS = {
    *("AP@0.5", "AP@0.6", "AP@0.7", "AP@0.75", "AP@0.8", "AP@0.9", "F1@0.5"),
    *("object_dice", "pixel_dice", "images", "nuclei_true", "nuclei_pred", "missing"),
}


@pytest.fixture
def data(tmp_path: Path, small_slide: Path) -> Path:
    """images/ with DAPI of two simulated frames as PNG, labels/ with theirs."""
    folder = tmp_path / "data"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for stem in ("frame00", "frame01"):
        cv2.imwrite(str(folder / "images" / f"{stem}.png"), tifffile.imread(small_slide / f"{stem}.ome.tif")[0])
        shutil.copy(small_slide / f"{stem}_labels.tif", folder / "labels")
    return folder


def test_evaluate_prints_figures_and_writes_predictions(cacapp: Run, data: Path) -> None:
    ended = cacapp("evaluate", data / "images", data / "labels", "--segmenter", "coarse", "--out", "out")
    assert (ended.code, ended.err) == (0, "")
    assert "coarse prompted by watershed" in ended.out
    assert "2 images, 20 true" in ended.out
    assert sorted(p.name for p in Path("out").iterdir()) == ["examples.png", "frame00_labels.tif", "frame01_labels.tif", "metrics.csv"]
    assert not Path("cacapp.db").exists()


def test_json_has_the_scorers_keys_and_the_time(cacapp: Run, data: Path) -> None:
    record = cacapp("evaluate", data / "images", data / "labels", "--segmenter", "coarse", "--json").json
    assert set(record) >= SCORE_KEYS | {"pixel_iou", "seconds_per_image", "device", "algorithms"}
    assert record["AP@0.5"] > 0.7
    assert [a["name"] for a in record["algorithms"]] == ["watershed", "coarse"]
    filtered = cacapp("evaluate", data / "images", data / "labels", "--json", "--filter", "single-cell", "--set", "max_area_um2=0.1").json
    assert [a["name"] for a in filtered["algorithms"]] == ["dense", "single-cell"]  # dense needs no prompts
    assert filtered["algorithms"][1]["params"]["max_area_um2"] == 0.1


def test_one_bad_image_is_one_line_and_exit_code_3(cacapp: Run, data: Path) -> None:
    (data / "images" / "frame01.png").write_bytes(b"")
    ended = cacapp("evaluate", data / "images", data / "labels", "--json")
    assert ended.code == 3
    (error,) = ended.lines("error")
    assert "frame01.png: empty" in error
    assert "10 nuclei count as missed" in error
    assert (ended.json["missing"], ended.json["images"]) == (1, 2)


def test_an_evaluation_without_a_readable_image_is_an_error(cacapp: Run, data: Path) -> None:
    for path in (data / "images").iterdir():
        path.write_bytes(b"")
    ended = cacapp("evaluate", data / "images", data / "labels")
    assert (ended.code, ended.out) == (1, "")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--segmenter", "corse"), "did you mean 'coarse'?"),
        (("--filter", "single"), "no filter named 'single'"),
        (("--set", "nonsense=1"), "nonsense"),
        (("--out", "data/labels"), "--out"),
        (("--channels", "DAPI"), "--channels"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(cacapp: Run, data: Path, args: tuple[str, str], says: str) -> None:
    ended = cacapp("evaluate", data / "images", data / "labels", *args)
    assert ended.code == 2
    (error,) = ended.lines("error")
    assert says in error


def test_benchmark_writes_table_and_figure_and_says_what_is_missing(cacapp: Run, data: Path) -> None:
    chosen = ("--row", "watershed", "--row", "split-merge", "--row", "cellpose-tuned")
    ended = cacapp("benchmark", data, "--out", "bench", *chosen)
    assert ended.code == 0
    assert {"AP@0.5", "watershed", "alone", "paper", "cpu"} <= set(ended.out.replace(":", "").split())
    assert "not run: no segmenter 'cellpose' installed: pip install cacapp-cellpose" in ended.out
    assert {p.name for p in Path("bench").iterdir()} == {"benchmark.md", "benchmark.csv", "benchmark.svg", "rows"}
    again = cacapp("benchmark", data, "--out", "bench", "--json", *chosen)
    rows = {row["key"]: row for row in again.json["rows"]}
    assert rows["watershed"]["ap50"] > 0.7
    assert rows["cellpose-tuned"]["paper_dice"] == 0.8022


def test_benchmark_lists_its_rows(cacapp: Run, data: Path) -> None:
    rows = cacapp("benchmark", data, "--rows", "--json").json
    needs = {row["row"]: row["needs"] for row in rows}
    assert {row["row"]: row["learns_from"] for row in rows}["maskrcnn-human"] == "human labels"
    assert "time to train" in needs["maskrcnn"]
    assert "--train DIR" in needs["maskrcnn-human"]
    assert needs["cellpose"] == "segmenter cellpose, which is not installed: pip install cacapp-cellpose"
    assert needs["watershed"] == ""
    assert cacapp("benchmark", data, "--rows").code == 0


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_benchmark_names_the_best_negative_point(cacapp: Run, data: Path) -> None:
    for path in (data / "images").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:160, :160])
    for path in (data / "labels").iterdir():
        tifffile.imwrite(path, tifffile.imread(path)[:160, :160])
    ended = cacapp("benchmark", data, "--row", "sam-watershed", "--row", "sam-local")
    assert ended.code == 0
    said = " ".join(ended.out.split())
    assert "Negative prompts: AP@0.5 by negative point:" in said
    assert "Best is" in said
    assert "## Negative prompts" in Path("benchmark/benchmark.md").read_text()


def test_a_benchmark_without_labels_is_a_usage_error(cacapp: Run, data: Path) -> None:
    shutil.rmtree(data / "labels")
    ended = cacapp("benchmark", data)
    assert ended.code == 2
    assert "has no folder labels/" in ended.err
    assert not Path("benchmark").exists()


def test_an_image_in_rgba_measures_as_the_grey_one(cacapp: Run, data: Path) -> None:
    def figures() -> dict[str, Any]:
        return {
            key: value for key, value in cacapp("evaluate", data / "images", data / "labels", "--json").json.items() if key in SCORE_KEYS
        }

    before = figures()
    path = data / "images" / "frame00.png"
    grey = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(path), np.dstack([grey, grey, grey, np.full_like(grey, 65535)]))
    assert figures() == before
