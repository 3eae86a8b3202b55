"""Benchmark rows that learn and rows that vary the prompts, with the real algorithms on small simulated frames."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import tifffile

from cacapp.algorithms import plugin as builtin
from cacapp.algorithms.coarse import Coarse
from cacapp.algorithms.sam.segmenter import PromptedSam
from cacapp.api import Field, Segmenter, TrainableSegmenter, TrainingProgress, TrainingSamples
from cacapp.arrays.regions import instances_of
from cacapp.exceptions import UsageError
from cacapp.hookspecs import hookimpl
from cacapp.host import Host
from cacapp.report.comparison import Comparison, Line, markdown
from cacapp.runs.progress import Silent
from cacapp.steps.benchmark.methods import negatives, requirements, rows_of
from cacapp.steps.benchmark.table import Benchmark
from cacapp.steps.benchmark.training_sources import PseudoLabels
from cacapp.types import Array, Instance, Prompts

QUICK = tuple(
    f"maskrcnn.{setting}"
    for setting in ("epochs=2", "crops=2", "batch=2", "crop_px=64", "device=cpu", "start=nuclei_t", "diameter_px=30", "tile_px=256")
)


class Level(TrainableSegmenter):
    """Learns the grey value from which a pixel is a nucleus, in two steps; stands where the table has Mask R-CNN."""

    name: ClassVar[str] = "maskrcnn"
    api_version: ClassVar[int] = 1
    needs_prompts: ClassVar[bool] = False
    weights: str = Field("maskrcnn-nuclei", description="file with the grey value")
    share: float = Field(0.5, ge=0, le=1, description="training: of the way from the background to the nuclei")

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        level = float(Path(self.weights).read_text())
        return instances_of(cv2.connectedComponents((dapi >= level).astype(np.uint8))[1])

    def train(self, samples: TrainingSamples, out: Path, seed: int, progress: TrainingProgress) -> Path:
        out.mkdir(parents=True, exist_ok=True)
        half, whole = out / "checkpoint.txt", out / "level.txt"
        progress.start("train", 2)
        if half.exists():
            progress.advance("goes on at step 1 of 2")
        else:
            half.write_text(str(np.mean([np.median(samples[n].dapi[samples[n].labels == 0]) for n in range(len(samples))])))
            progress.advance("step 1 of 2")
        dark = float(half.read_text())
        light = np.mean([np.median(samples[n].dapi[samples[n].labels > 0]) for n in range(len(samples))])
        whole.write_text(str(dark + self.share * (light - dark)))
        progress.advance("step 2 of 2")
        return whole


class Learners:
    """A plugin of the coarse regions, the prompted SAM and Level."""

    @hookimpl
    def cacapp_segmenters(self) -> list[type[Segmenter]]:
        return [Coarse, PromptedSam, Level]

    cacapp_prompters = staticmethod(builtin.cacapp_prompters)
    cacapp_filters = staticmethod(builtin.cacapp_filters)


class Told(Silent):
    """Keeps what a step tells; stops the work, as Ctrl-C does, at the first note that holds ``stop_at``."""

    def __init__(self, stop_at: str = "") -> None:
        self.works: list[str] = []
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.stop_at = stop_at

    def start(self, what: str, total: int) -> None:
        self.works.append(what)

    def advance(self, note: str = "", by: int = 1) -> None:
        self.notes.append(note)
        if self.stop_at and self.stop_at in note:
            raise KeyboardInterrupt

    def warn(self, line: str) -> None:
        self.warnings.append(line)


@pytest.fixture(scope="module")
def host() -> Host:
    host = Host()
    host.register(Learners(), "learners", "cacapp", "1")
    return host


def folder_of(slide: Path, folder: Path, frames: tuple[str, ...]) -> Path:
    """images/ and labels/ of 200 x 200 px cut from a simulated slide."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for stem in frames:
        cv2.imwrite(str(folder / "images" / f"{stem}.png"), tifffile.imread(slide / f"{stem}.ome.tif")[0, :200, :200])
        tifffile.imwrite(folder / "labels" / f"{stem}.tif", tifffile.imread(slide / f"{stem}_labels.tif")[:200, :200])
    return folder


@pytest.fixture
def data(tmp_path: Path, small_slide: Path) -> Path:
    return folder_of(small_slide, tmp_path / "data", ("frame00",))


@pytest.fixture
def train(tmp_path: Path, small_slide: Path) -> Path:
    return folder_of(small_slide, tmp_path / "train", ("frame01",))


def run(host: Host, data: Path, *rows: str, **more: Any) -> Comparison:
    values = {"train": None, "settings": (), "channels": None, "seed": 0, "force": False, "progress": Told(), "out": data.parent / "b"}
    return Benchmark(host, data, **(values | more)).run(rows)


def line(found: Comparison, key: str) -> Line:
    return next(one for one in found.lines if one.key == key)


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_mask_rcnn_itself_learns_from_pseudo_labels_and_resumes_after_a_stop(data: Path) -> None:
    host = Host()
    host.register(builtin, "builtin", "cacapp", "1")
    with pytest.raises(KeyboardInterrupt):
        run(host, data, "maskrcnn", settings=QUICK, progress=Told("epoch 2/2"))
    told = Told()
    found = line(run(host, data, "maskrcnn", settings=QUICK, progress=told), "maskrcnn")
    assert found.measured
    assert "pseudo-labels of 1 image, measured here" in found.note
    assert "goes on at step 1 of 2" in told.notes
    assert any("loss" in note and "left" in note for note in told.notes)


def test_a_row_learns_from_pseudo_labels_of_the_measured_images_and_never_sees_their_labels(host: Host, data: Path) -> None:
    first = line(run(host, data, "maskrcnn"), "maskrcnn")
    assert first.ap50 is not None
    assert first.ap50 > 0.5
    assert "pseudo-labels of 1 image, measured here; their human labels were not read" in first.note
    tifffile.imwrite(data / "labels" / "frame00.tif", np.zeros((200, 200), np.int32))
    told = Told()
    again = line(run(host, data, "maskrcnn", progress=told), "maskrcnn")
    assert told.works == ["maskrcnn"]  # measured against the new labels, not trained again
    assert again.ap50 == 0
    assert again.note == first.note


def test_option_train_trains_on_those_images_with_or_without_labels(host: Host, data: Path, train: Path) -> None:
    found = run(host, data, "maskrcnn", "maskrcnn-human", train=train)
    assert "trained on" in line(found, "maskrcnn").note
    assert "measured here" not in line(found, "maskrcnn").note
    assert line(found, "maskrcnn-human").measured
    told = Told()
    shutil.rmtree(train / "labels")
    bare = run(host, data, "maskrcnn", "maskrcnn-human", train=train, progress=told)
    assert line(bare, "maskrcnn") == line(found, "maskrcnn")
    assert told.works == []
    assert "give them with --train DIR, a folder with images/ and labels/" in line(bare, "maskrcnn-human").note
    with pytest.raises(UsageError, match="share 1 images"):
        run(host, data, "maskrcnn", train=data)
    shutil.rmtree(train / "images")
    with pytest.raises(UsageError, match="has no folder images/"):
        run(host, data, "maskrcnn", train=train)


def made(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.suffix in (".npz", ".txt")}


@pytest.mark.parametrize("stop_at", ["frame00", "frame01", "step 1 of 2", "step 2 of 2"])
def test_stopped_while_labelling_or_training_the_same_command_resumes(host: Host, small_slide: Path, tmp_path: Path, stop_at: str) -> None:
    data = folder_of(small_slide, tmp_path / "data", ("frame00", "frame01"))
    with pytest.raises(KeyboardInterrupt):
        run(host, data, "maskrcnn", progress=Told(stop_at))
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "b" / "pseudo-labels").iterdir()}
    assert len(before) == (1 if stop_at == "frame00" else 2)
    told = Told()
    assert line(run(host, data, "maskrcnn", progress=told), "maskrcnn").measured
    assert ("goes on at step 1 of 2" in told.notes) == stop_at.startswith("step")
    assert {p: p.stat().st_mtime_ns for p in before} == before  # what was labelled is not labelled again
    run(host, data, "maskrcnn", out=tmp_path / "unbroken")
    assert made(tmp_path / "b") == made(tmp_path / "unbroken")


def test_other_parameters_train_in_a_place_of_their_own(host: Host, data: Path) -> None:
    first = line(run(host, data, "maskrcnn"), "maskrcnn")
    assert line(run(host, data, "maskrcnn", settings=["share=0.01"]), "maskrcnn").pixel_dice != first.pixel_dice
    told = Told()
    again = line(run(host, data, "maskrcnn", progress=told), "maskrcnn")
    assert (again.ap50, again.pixel_dice) == (first.ap50, first.pixel_dice)
    assert told.works == ["maskrcnn"]  # measured, with the model there was


def test_a_model_whose_file_was_changed_is_trained_again(host: Host, data: Path) -> None:
    first = line(run(host, data, "maskrcnn"), "maskrcnn")
    (model,) = (data.parent / "b" / "models").rglob("level.txt")
    model.write_text("1")
    told = Told()
    assert line(run(host, data, "maskrcnn", progress=told), "maskrcnn") == first
    assert "train" in told.works


def pseudo(host: Host, data: Path, params: dict[str, Any] | None = None, told: Told | None = None) -> Any:
    from cacapp.exchange.labelled_images import image_files

    files, _ = image_files(data / "images")
    task = PseudoLabels(host, files, None, params or {}, 0, data.parent / "kept", measured=True)
    return task.samples(told or Told())


def test_pseudo_labels_are_the_accepted_masks_and_rejected_nuclei_are_filled(host: Host, data: Path) -> None:
    dapi = cv2.imread(str(data / "images" / "frame00.png"), cv2.IMREAD_UNCHANGED)
    samples = pseudo(host, data)
    sample = samples[0]
    assert (sample.dapi.dtype, sample.labels.dtype, sample.dapi.shape) == (dapi.dtype, np.int32, (200, 200))
    assert samples.nuclei == len(np.unique(sample.labels[sample.labels > 0])) > 0
    assert np.array_equal(sample.dapi[sample.labels > 0], dapi[sample.labels > 0])
    strict = pseudo(host, data, {"single-cell": {"min_roundness": 0.93}})
    assert 0 < strict.nuclei < samples.nuclei
    assert strict[0].dapi[(sample.labels > 0) & (strict[0].labels == 0)].mean() < dapi[sample.labels > 0].mean() / 2


def test_an_image_that_cannot_be_read_costs_a_warning_and_adds_no_training_sample(host: Host, data: Path) -> None:
    (data / "images" / "bad.png").write_bytes(b"")
    told = Told()
    assert len(pseudo(host, data, told=told)) == 1
    (warning,) = told.warnings
    assert "bad.png" in warning
    assert "not trained on" in warning


def test_without_an_accepted_mask_the_row_says_so(host: Host, data: Path) -> None:
    found = run(host, data, "maskrcnn", settings=["min_roundness=1"])
    assert line(found, "maskrcnn").note.startswith("not run: none of 1 images has a mask that is accepted as a pseudo-label; loosen")
    cv2.imwrite(str(data / "images" / "frame00.png"), np.full((200, 200), 300, np.uint16))
    assert "none of 1 images has a mask" in line(run(host, data, "maskrcnn"), "maskrcnn").note


@pytest.mark.slow
def test_the_ablation_measures_each_negative_point_once_and_names_the_best(host: Host, data: Path) -> None:
    kinds = negatives(host)
    default = next(iter(kinds))
    assert sorted(kinds) == ["darkest", "local", "neighbour", "none"]
    assert kinds[default] == "sam-watershed"
    told = Told()
    found = run(host, data, *kinds.values(), progress=told)
    assert sorted(told.works) == sorted(kinds.values())
    assert all(line(found, key).measured for key in kinds.values())
    said = found.negative_prompts()
    assert all(kind in said for kind in kinds)
    assert "the default" in said
    assert f"\n## Negative prompts\n{said}\n" in (data.parent / "b" / "benchmark.md").read_text()
    assert found.record()["negative_prompts"] == said


def test_the_users_negative_point_is_the_default_of_the_ablation(host: Host) -> None:
    kinds = negatives(host, {"negative": "local"})
    assert (next(iter(kinds)), kinds["local"], len(kinds)) == ("local", "sam-watershed", 4)
    rows = {row.key: row for row in rows_of(host, {"watershed": {"negative": "local"}})}
    assert rows["sam-darkest"].prompter_params == {"negative": "darkest"}
    assert "sam-local" not in rows


def test_best_and_default_are_distinguished() -> None:
    def of(**figures: float | None) -> Comparison:
        lines = tuple(Line(kind, kind, ap50=value) for kind, value in figures.items())
        return Comparison(lines, "", negatives={"darkest": "darkest", "local": "local", "none": "none"})

    assert of(darkest=0.5, local=0.6, none=None).negative_prompts() == (
        "AP@0.5 by negative point: local 0.6000, darkest 0.5000. Best is local; the default is darkest. Not measured: none (--row none)."
    )
    assert of(darkest=0.6, local=0.6).negative_prompts().endswith("Best is darkest, the default. Not measured: none (--row none).")
    assert of(darkest=0.6).negative_prompts() == ""
    assert "Negative prompts" not in markdown(of(darkest=0.6))


def test_rows_say_what_they_need(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CACAPP_WEIGHTS", str(tmp_path))
    needed = {row.key: requirements(host, row) for row in rows_of(host)}
    assert needed["watershed"] == needed["sam-watershed"] == needed["sam-local"] == []
    assert needed["vit-b-watershed"] == ["weights vit_b, which are not here: cacapp weights pull vit_b"]
    assert needed["cellpose"] == ["segmenter cellpose, which is not installed: pip install cacapp-cellpose"]
    assert needed["maskrcnn"] == ["time to train, on the images of --train DIR or, without it, on those measured"]
    assert needed["maskrcnn-human"][0] == "--train DIR with labels/ drawn by a person"
