"""What evaluate reads, measures, writes and refuses."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from cacapp.api import Field
from cacapp.arrays.metrics import match, scores
from cacapp.exceptions import CacappError, UsageError
from cacapp.exchange.labelled_images import read_dapi, read_labels
from cacapp.host import Host
from cacapp.runs.plan import SegmentPlan
from cacapp.steps.benchmark.evaluate import evaluate
from cacapp.types import Array, Instance, Prompts
from tests.steps.bright import CALLS, Bright, Broken, Told, host_with, save, squares

BRIGHT = SegmentPlan(segmenter="bright", filters=())


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


@pytest.fixture
def host() -> Host:
    return host_with(Bright)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """images/ and labels/: ``all`` has three bright squares, ``half`` one bright and one faint."""
    save(tmp_path / "data", "all", (200, 180, 160))
    save(tmp_path / "data", "half", (200, 50))
    return tmp_path / "data"


def run(host: Host, data: Path, plan: SegmentPlan = BRIGHT, **more: Any) -> Any:
    return evaluate(host, plan, data / "images", data / "labels", **more)


def test_figures_are_those_of_what_the_segmenter_finds_and_misses(host: Host, data: Path) -> None:
    found = run(host, data)
    assert found.figures == {
        **{f"AP@{t}": 0.75 for t in (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)},  # the mean of 3/3 and 1/2
        "F1@0.5": round(2 * 4 / 9, 4),
        "object_dice": 4 / 5,
        "pixel_dice": round(2 * 4 / 9, 4),
        "pixel_iou": 4 / 5,
        "images": 2,
        "nuclei_true": 5,
        "nuclei_pred": 4,
        "missing": 0,
    }
    assert (found.device, found.failed) == ("cpu", ())
    assert found.seconds_per_image > 0


def test_parameters_reach_the_algorithm_and_its_record(host: Host, data: Path) -> None:
    found = run(host, data, SegmentPlan(segmenter="bright", filters=(), params={"bright": {"level": 40}}))
    assert found.figures["AP@0.9"] == 1
    (algorithm,) = found.record()["algorithms"]
    assert (algorithm["name"], algorithm["distribution"], algorithm["params"]["level"]) == ("bright", "acme-cells", 40)


def test_filters_take_away_predictions_only_when_asked(host: Host, data: Path) -> None:
    save(data, "speck", (200, 200, 200, 200), side=8)
    image = data / "images" / "speck.png"
    pixels = cv2.imread(str(image), cv2.IMREAD_UNCHANGED)
    pixels[1, 80:84] = 200  # a streak
    cv2.imwrite(str(image), pixels)
    assert run(host, data).figures["nuclei_pred"] == 3 + 1 + 5
    filtered = SegmentPlan(segmenter="bright", filters=("single-cell",), params={"single-cell": {"min_solidity": 0, "min_roundness": 0.3}})
    assert run(host, data, filtered).figures["nuclei_pred"] == 3 + 1 + 4


def test_written_predictions_give_the_same_figures_when_read_again(host: Host, data: Path, tmp_path: Path) -> None:
    found = run(host, data, out=tmp_path / "out")
    again = []
    for stem in ("all", "half"):
        written = tifffile.imread(tmp_path / "out" / f"{stem}_labels.tif")
        assert written.dtype == np.int32
        again.append(match(cv2.imread(str(data / "labels" / f"{stem}.png"), cv2.IMREAD_UNCHANGED), written))
    assert all(round(value, 4) == found.figures[key] for key, value in scores(again).items())
    rows = list(csv.DictReader((tmp_path / "out" / "metrics.csv").open()))
    assert [(r["image"], r["AP@0.5"], r["nuclei_true"]) for r in rows] == [("all", "1.0", "3"), ("half", "0.5", "2")]


def test_the_picture_shows_missed_nuclei_in_orange_and_found_ones_in_blue(host: Host, data: Path, tmp_path: Path) -> None:
    run(host, data, out=tmp_path / "out")
    picture = cv2.imread(str(tmp_path / "out" / "examples.png"))[:, :, ::-1]
    best, worst = np.array_split(picture[30:], 2)  # below the legend one row each: of two images the median is the worst

    def count(part: Array, colour: tuple[int, int, int]) -> int:
        return int((part == colour).all(axis=2).sum())

    blue, orange = (86, 180, 233), (255, 112, 44)
    assert (count(best, blue) > 0, count(best, orange)) == (True, 0)
    assert count(worst, orange) > 0
    left, right = np.array_split(worst, 2, axis=1)
    assert (count(left, orange) > 0, count(right, orange)) == (True, 0)  # missed in the truth, nothing false predicted


def test_images_and_labels_of_a_simulated_slide_lie_in_one_folder(small_slide: Path) -> None:
    found = evaluate(host_with(), SegmentPlan(filters=()), small_slide, small_slide)
    assert found.figures["images"] == 2
    assert found.figures["nuclei_true"] == 20
    assert found.figures["AP@0.5"] > 0.7
    assert found.failed == ()


def grey() -> Array:
    return (np.arange(600).reshape(20, 30) % 200).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("planes", [1, 3, 4])
def test_grey_images_are_read_alike_in_one_three_and_four_planes(tmp_path: Path, suffix: str, depth: type, planes: int) -> None:
    image = grey().astype(depth)
    if planes > 1:
        opaque = np.full_like(image, np.iinfo(depth).max)
        image = np.dstack([image, image, image, opaque][:planes])
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), image)
    pixels = read_dapi(path).dapi
    assert pixels.dtype == depth
    assert np.array_equal(pixels, grey())


def test_a_picture_in_colours_is_neither_an_image_nor_labels(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([grey(), 255 - grey(), grey()]))
    with pytest.raises(CacappError, match=r"a\.png: an RGB image with different colours"):
        read_dapi(tmp_path / "a.png")
    with pytest.raises(CacappError, match=r"a\.png: a picture in colours; labels are one plane"):
        read_labels(tmp_path / "a.png")


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_labels_of_any_integer_type_are_read(tmp_path: Path, dtype: str) -> None:
    labels = squares((9, 9))[1].astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", labels)
    assert np.array_equal(read_labels(tmp_path / "a.tif"), labels)


def test_dapi_is_found_by_name_or_by_the_users_word(tmp_path: Path, save_frame: Callable[..., Path]) -> None:
    planes = np.stack([grey(), grey() + 1, grey() + 2]).astype(np.uint16)
    named = save_frame(tmp_path / "a.ome.tif", planes, ("FITC", "Hoechst", "x"))
    pixels = read_dapi(named)
    assert np.array_equal(pixels.dapi, planes[1])
    assert pixels.pixel_size_um == pytest.approx(0.12)
    odd = save_frame(tmp_path / "b.ome.tif", planes, ("c1", "c2", "c3"))
    assert np.array_equal(read_dapi(odd, {"DAPI": "#2"}).dapi, planes[2])
    with pytest.raises(CacappError, match=r"b\.ome\.tif: no channel for DAPI.*--channels DAPI="):
        read_dapi(odd)


BAD = {
    "no image": (lambda d: (d / "images" / "half.png").unlink(), "half.png: no image of that name", 1),
    "no labels": (lambda d: (d / "labels" / "half.png").unlink(), "half.png: no labels of that name", 0),
    "cut image": (
        lambda d: (d / "images" / "half.png").write_bytes((d / "images" / "half.png").read_bytes()[:-30]),
        "half.png: truncated or damaged",
        1,
    ),
    "cut labels": (lambda d: (d / "labels" / "half.png").write_bytes(b"\x89PNG\r\n\x1a\n"), "half.png: truncated or damaged", 0),
    "other size": (
        lambda d: cv2.imwrite(str(d / "images" / "half.png"), np.zeros((20, 99), np.uint8)),
        "half.png: 99 x 20 px, its labels half.png are 100 x 20 px",
        1,
    ),
    "failing algorithm": (
        lambda d: cv2.imwrite(str(d / "images" / "half.png"), np.full((20, 100), 255, np.uint8)),
        "half.png: 'bright' (plugin 'mine' of acme-cells 2.0): failed: ValueError: dazzled",
        1,
    ),
    "float labels": (
        lambda d: (d / "labels" / "half.png").unlink() or tifffile.imwrite(d / "labels" / "half.tif", np.zeros((20, 100), np.float32)),
        "half.tif: pixels are float32; labels are whole numbers",
        0,
    ),
    "two labels": (
        lambda d: tifffile.imwrite(d / "labels" / "half.tif", np.zeros((20, 100), np.uint8)),
        "half: could be half.png or half.tif",
        0,
    ),
}


@pytest.mark.parametrize(("spoil", "line", "counted"), BAD.values(), ids=BAD)
def test_one_bad_file_costs_one_line_and_the_others_are_processed(
    host: Host, data: Path, tmp_path: Path, spoil: Callable[[Path], Any], line: str, counted: int
) -> None:
    old = tmp_path / "out" / "half_labels.tif"
    old.parent.mkdir()
    old.write_bytes(b"of an earlier run")
    spoil(data)
    told = Told()
    found = run(host, data, out=tmp_path / "out", progress=told)
    (said,) = told.failures
    assert line in said
    assert "\n" not in said
    assert [error for _, error in found.failed] == [said]
    # labels without a prediction count as all missed, as score.py does; what has no readable labels is left out
    assert (found.figures["images"], found.figures["missing"]) == (1 + counted, counted)
    assert found.figures["AP@0.5"] == (0.5 if counted else 1)
    assert (tmp_path / "out" / "all_labels.tif").exists()
    assert not old.exists() or line.startswith("half: could")


def test_the_same_failure_on_the_first_three_images_ends_it(data: Path) -> None:
    for name in "abcdef":
        save(data, name, (200,))
    with pytest.raises(
        CacappError,
        match=r"^'broken' \(plugin 'mine' of acme-cells 2\.0\): failed: ValueError: no weights, at tests/.*\.py:\d+ in segment$",
    ):
        run(host_with(Broken), data, SegmentPlan(segmenter="broken", filters=()))
    assert len(CALLS) == 3


def test_a_foreground_mask_is_pointed_out(host: Host, data: Path) -> None:
    labels = squares((9, 9))[1]
    cv2.imwrite(str(data / "labels" / "half.png"), (labels > 0) * np.uint8(255))
    told = Told()
    run(host, data, progress=told)
    assert len(told.warnings) == 1
    assert "half.png" in told.warnings[0]


def test_predictions_never_overwrite_the_truth(host: Host, data: Path) -> None:
    before = {p: p.read_bytes() for p in data.rglob("*.png")}
    for folder in ("labels", "images", "images/../labels"):
        with pytest.raises(UsageError, match="--out"):
            run(host, data, out=data / folder)
    assert {p: p.read_bytes() for p in data.rglob("*") if p.is_file()} == before


def test_folders_without_pairs_are_refused(host: Host, data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no images in"):
        evaluate(host, BRIGHT, tmp_path / "empty", data / "labels")
    with pytest.raises(UsageError, match=r"no image in .* has labels in"):
        evaluate(host, BRIGHT, data / "images", tmp_path / "empty")
    with pytest.raises(UsageError, match="no such folder"):
        evaluate(host, BRIGHT, data / "images", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no segmenter named 'brigt': did you mean 'bright'"):
        run(host, data, SegmentPlan(segmenter="brigt"))


class Guess(Bright):
    """Finds nothing smaller than it assumes where the pixel size is unknown."""

    min_diameter_um: float = Field(4.0, gt=0, description="smallest nucleus, µm")
    usual_pixel_um: float = Field(0.2, gt=0, description="pixel size where the frame does not say, µm")

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        smallest_px = self.min_diameter_um / (pixel_size_um or self.usual_pixel_um)
        return [i for i in super().segment(dapi, prompts, pixel_size_um) if i.bbox_xywh[2] >= smallest_px]


def test_a_wrong_assumption_about_the_size_of_nuclei_is_reported_with_both_sizes(data: Path) -> None:
    progress, plan = Told(), SegmentPlan(segmenter="bright", filters=())
    assert run(host_with(Guess), data, plan, progress=progress).figures["nuclei_pred"] == 0
    assert progress.warnings == [
        "2 images without pixel size: the typical labelled nucleus is 9 px across, bright finds no nucleus; "
        "assumed: bright min_diameter_um 4, 20 px of 0.2 µm; set the sizes with --set, or save the images with their pixel size"
    ]
    progress = Told()
    run(host_with(Bright), data, plan, progress=progress)
    assert progress.warnings == []
