"""What evaluate reads, measures, writes and refuses; what the benchmark's table says, keeps and takes up again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import tifffile

from cacapp.algorithms import plugin as builtin
from cacapp.api import Field, Prompter, Segmenter, TrainableSegmenter
from cacapp.arrays.metrics import match, scores
from cacapp.arrays.regions import instances_of
from cacapp.errors import CacappError, UsageError
from cacapp.hookspecs import hookimpl
from cacapp.host import Host
from cacapp.steps.benchmark import Benchmark
from cacapp.steps.evaluate import evaluate
from cacapp.steps.labelled import read_dapi, read_labels
from cacapp.steps.methods import PSEUDO, ROWS, rows_of
from cacapp.steps.segment import SegmentPlan
from cacapp.types import Array, Instance, Prompts

CALLS: list[str] = []
"""Which segmenter was called, in order."""


class Bright(Segmenter):
    """Every connected bright region."""

    name: ClassVar[str] = "bright"
    api_version: ClassVar[int] = 1
    needs_prompts: ClassVar[bool] = False
    level: int = Field(100, ge=0, description="grey value from which a pixel is a nucleus")
    weights: str = Field("", description="what training gave; a file that holds the level")

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        CALLS.append(self.name)
        if dapi.max() == 255:
            raise ValueError("dazzled")
        level = int(Path(self.weights).read_text()) if self.weights else self.level
        return instances_of(cv2.connectedComponents((dapi >= level).astype(np.uint8))[1])


class Cellpose(Bright, TrainableSegmenter):
    """Trainable: learns the level from the labels."""

    name: ClassVar[str] = "cellpose"

    def train(self, samples: Any, out: Path, seed: int, progress: Any) -> Path:
        CALLS.append("train")
        out.mkdir(parents=True, exist_ok=True)
        level = min(int(s.dapi[s.labels > 0].min()) for s in samples)
        (out / "level.txt").write_text(str(level))
        return out / "level.txt"


class Broken(Bright):
    """Never works."""

    name: ClassVar[str] = "broken"

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        CALLS.append(self.name)
        raise ValueError("no weights")


class Idle(Prompter):
    """Prompts nothing."""

    name: ClassVar[str] = "idle"
    api_version: ClassVar[int] = 1

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        return Prompts.empty()


class Plugin:
    def __init__(self, *classes: type) -> None:
        self.classes = classes

    @hookimpl
    def cacapp_segmenters(self) -> list[type[Segmenter]]:
        return [c for c in self.classes if issubclass(c, Segmenter)]

    @hookimpl
    def cacapp_prompters(self) -> list[type[Prompter]]:
        return [c for c in self.classes if issubclass(c, Prompter)]


class Told:
    """Keeps what a step tells."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.warnings: list[str] = []
        self.advanced = 0

    def start(self, what: str, total: int) -> None:
        return None

    def advance(self, note: str = "", by: int = 1) -> None:
        self.advanced += by

    def warn(self, line: str) -> None:
        self.warnings.append(line)

    def fail(self, line: str) -> None:
        self.failures.append(line)


BRIGHT = SegmentPlan(segmenter="bright", filters=())


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def host_with(*classes: type) -> Host:
    host = Host()
    host.register(builtin, "builtin", "cacapp", "1")
    if classes:
        host.register(Plugin(*classes), "mine", "acme-cells", "2.0")
    return host


@pytest.fixture
def host() -> Host:
    return host_with(Bright)


def squares(greys: Sequence[int], side: int = 8) -> tuple[Array, Array]:
    """A (20, 100) uint8 image of squares with these grey values, and its labels."""
    dapi, labels = np.zeros((20, 100), np.uint8), np.zeros((20, 100), np.uint16)
    for n, grey in enumerate(greys):
        window = np.s_[4 : 4 + side, 4 + 16 * n : 4 + 16 * n + side]
        dapi[window], labels[window] = grey, n + 1
    return dapi, labels


def save(folder: Path, name: str, greys: Sequence[int], **labels: Any) -> None:
    dapi, truth = squares(greys, **labels)
    for part, image in (("images", dapi), ("labels", truth)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / part / f"{name}.png"), image)


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
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([grey(), grey() // 2, grey()]))
    with pytest.raises(CacappError, match=r"a\.png: an RGB image whose colours differ"):
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
def test_one_bad_file_costs_one_line_and_the_others_go_on(
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
    with pytest.raises(CacappError, match=r"^'broken' \(plugin 'mine' of acme-cells 2\.0\): failed: ValueError: no weights$"):
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


# the benchmark


def task(host: Host, data: Path, **more: Any) -> Benchmark:
    values = {"train": None, "settings": (), "channels": None, "seed": 0, "force": False, "progress": Told(), "out": data.parent / "bench"}
    return Benchmark(host, data, **(values | more))


def line(comparison: Any, key: str) -> Any:
    return next(one for one in comparison.lines if one.key == key)


def test_the_papers_table_is_there_in_its_figures() -> None:
    paper = {row.method: row.paper for row in ROWS if row.paper}
    assert sorted(paper.values()) == [(0.5248, 37.33), (0.6003, 10.93), (0.7471, 21.64), (0.8022, 27.43), (0.8765, 4.19), (0.9351, 4.19)]
    assert len({row.key for row in rows_of(host_with())}) == len(rows_of(host_with()))
    assert [row.learns for row in ROWS if row.paper == (0.8765, 4.19)] == [PSEUDO]


def test_what_is_installed_beyond_the_table_gets_rows() -> None:
    more = {row.key: row for row in rows_of(host_with(Bright, Idle)) if row not in ROWS}
    assert set(more) == {"segmenter-bright", "prompter-idle", "sam-neighbour", "sam-local", "sam-none"}
    assert more["segmenter-bright"].method == "bright (acme-cells 2.0)"
    assert (more["prompter-idle"].segmenter, more["prompter-idle"].prompter) == ("coarse", "idle")


def test_a_row_that_cannot_run_says_why_and_how_and_stops_no_other(data: Path) -> None:
    save(data, "third", (200,))
    found = task(host_with(Broken, Bright), data).run(["cellpose", "maskrcnn-human", "segmenter-broken", "segmenter-bright"])
    assert line(found, "cellpose").note == "not run: no segmenter 'cellpose' installed: pip install cacapp-cellpose"
    assert line(found, "segmenter-broken").note.endswith("failed: ValueError: no weights")
    assert not line(found, "segmenter-broken").measured
    assert line(found, "segmenter-bright").ap50 == pytest.approx((1 + 0.5 + 1) / 3, abs=1e-4)
    with_cellpose = task(host_with(Cellpose), data).run(["cellpose-tuned"])
    assert "--train DIR" in line(with_cellpose, "cellpose-tuned").note


def test_the_row_that_learns_is_trained_once_on_the_given_labels(data: Path, tmp_path: Path) -> None:
    save(tmp_path / "human", "x", (40, 90))
    for _ in range(2):
        found = task(host_with(Cellpose), data, train=tmp_path / "human").run(["cellpose", "cellpose-tuned"])
    assert line(found, "cellpose").ap50 == 0.75
    assert line(found, "cellpose-tuned").ap50 == 1  # it learnt that nuclei start at 40
    assert CALLS.count("train") == 1
    assert CALLS.count("cellpose") == 4


def test_images_are_not_measured_after_training_on_them(data: Path, tmp_path: Path) -> None:
    save(tmp_path / "human", "other-name", (200, 50))
    with pytest.raises(UsageError, match=r"share 1 images, .*other-name\.png and .*half\.png"):
        task(host_with(Cellpose), data, train=tmp_path / "human").run(["cellpose-tuned"])


def test_a_finished_row_is_kept_until_its_inputs_change(data: Path) -> None:
    host = host_with(Bright, Broken)
    first = task(host, data).run(["segmenter-bright"])
    assert task(host, data).run(["segmenter-bright"]) == first
    assert CALLS == ["bright"] * 2
    assert line(task(host, data).run(["segmenter-broken"]), "segmenter-bright") == line(first, "segmenter-bright")
    CALLS.clear()
    task(host, data, settings=["bright.level=30"]).run(["segmenter-bright"])
    assert CALLS == ["bright"] * 2
    save(data, "half", (200, 200))
    assert line(task(host, data).run(["segmenter-bright"]), "segmenter-bright").ap50 == 1
    CALLS.clear()
    task(host, data, force=True).run(["segmenter-bright"])
    assert CALLS == ["bright"] * 2


def test_an_interrupted_benchmark_goes_on_where_it_stopped(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Bright):
        """Interrupted by the user."""

        name: ClassVar[str] = "stopped"

        def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
            raise KeyboardInterrupt

    rows = ["segmenter-bright", "segmenter-stopped"]
    with pytest.raises(KeyboardInterrupt):
        task(host_with(Bright, Stopped), data).run(rows)
    assert CALLS == ["bright"] * 2
    (data.parent / "bench" / "rows" / "segmenter-stopped.json").write_text("{ cut off")
    monkeypatch.setattr(Stopped, "segment", Bright.segment)
    found = task(host_with(Bright, Stopped), data).run(rows)
    assert CALLS == ["bright"] * 2 + ["stopped"] * 2
    assert all(line(found, key).ap50 == 0.75 for key in rows)


def test_table_and_drawing_hold_every_row_beside_the_papers(data: Path) -> None:
    task(host_with(Cellpose), data).run(["watershed", "cellpose", "cellpose-tuned"])
    out = data.parent / "bench"
    table = [text for text in (out / "benchmark.md").read_text().splitlines() if text.startswith("|")]
    assert {text.count("|") for text in table} == {10}
    row = next(text for text in table if text.startswith("| Cellpose, default"))
    assert row.startswith("| Cellpose, default | 0.750 | 0.750 | 80.00 | 88.89 |")
    assert row.endswith("| cpu | 74.71 | 21.64 |")
    rows = {r["key"]: r for r in csv.DictReader(io.StringIO((out / "benchmark.csv").read_text()))}
    assert (rows["cellpose"]["object_dice"], rows["cellpose"]["paper_dice"], rows["cellpose-tuned"]["ap50"]) == ("0.8", "0.7471", "")
    drawing = ElementTree.fromstring((out / "benchmark.svg").read_text())
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in drawing.iter(f"{space}text")]
    assert "Cellpose, default" in texts
    assert "Cellpose, fine-tuned (not run)" in texts
    dots = [e for e in drawing.iter(f"{space}circle") if e.get("r") == "9"]
    assert len(dots) == 2 + 2  # two measured, two of the paper's
    kept = json.loads((out / "rows" / "cellpose.json").read_text())
    assert kept["evaluation"]["AP@0.5"] == 0.75


def test_unknown_rows_settings_and_folders_are_refused(data: Path) -> None:
    with pytest.raises(UsageError, match="--row sam-human: there is no such row"):
        task(host_with(), data).run(["sam-human"])
    with pytest.raises(UsageError, match="levl"):
        task(host_with(Bright), data, settings=["levl=3"]).run(["segmenter-bright"])
    with pytest.raises(UsageError, match="has no folder images/"):
        task(host_with(), data / "images").run()


def test_a_bad_file_is_told_once_not_once_a_row(data: Path) -> None:
    (data / "labels" / "half.png").write_bytes(b"")
    told = Told()
    found = task(host_with(Bright, Cellpose), data, progress=told).run(["segmenter-bright", "cellpose"])
    assert len(told.failures) == 1
    assert found.failed
