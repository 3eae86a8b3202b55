"""Step ``evaluate``: compare a segmentation with labels that a person drew. Needs no database."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cacapp import host as guard
from cacapp.api import InstanceFilter
from cacapp.arrays.metrics import THRESHOLDS, Match, match, scores
from cacapp.arrays.shapes import shapes_of
from cacapp.exceptions import CacappError, UsageError
from cacapp.exchange.labelled_images import (
    LABELS_SUFFIX,
    LabelledFile,
    Pixels,
    labelled_files,
    looks_like_a_foreground_mask,
    read_dapi,
    read_labels,
)
from cacapp.host import Host
from cacapp.report.csv_export import to_csv
from cacapp.report.examples import Example, examples_png
from cacapp.runs.choice import Choice
from cacapp.runs.files import write_atomically
from cacapp.runs.plan import SegmentPlan
from cacapp.runs.progress import Progress, Silent
from cacapp.runs.segment_frame import Algorithms, build_algorithms
from cacapp.steps.benchmark.size_check import nucleus_px, size_warning
from cacapp.types import Array, Instance, Prompts, label_image

METRICS_CSV, EXAMPLES_PNG = "metrics.csv", "examples.png"
DIGITS = 4  # of figures, as the field's tables print them
SAME_FAILURES = 3


@dataclass(frozen=True, slots=True)
class ImageScore:
    """One image with readable labels.

    Attributes:
        match: true and predicted nuclei; with an ``error``, none is predicted.
        megapixels: size of the image, 10⁶ px.
        seconds: time of prompter, segmenter and filters, s; None where there is no prediction.
        error: why there is no prediction, in one line.
        sizes_px: typical diameter of labelled and of found nuclei, px; None where the image states its pixel size.
    """

    file: LabelledFile
    match: Match
    megapixels: float
    seconds: float | None = None
    error: str | None = None
    sizes_px: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A segmentation measured on images.

    Attributes:
        images: those with readable labels, in the order of their names.
        choices: prompter, segmenter and filters, with version and parameters.
        device: where the segmenter ran.
        failed: (name, error) of everything that could not be measured or predicted.
    """

    images: tuple[ImageScore, ...]
    choices: tuple[Choice, ...]
    device: str
    failed: tuple[tuple[str, str], ...]

    @property
    def figures(self) -> dict[str, float]:
        """The figures over all images with labels (``cacapp.arrays.metrics.scores``), rounded, and the number without prediction."""
        found = scores([image.match for image in self.images])
        rounded = {key: value if isinstance(value, int) else round(value, DIGITS) for key, value in found.items()}
        return rounded | {"missing": sum(image.error is not None for image in self.images)}

    @property
    def first_seconds(self) -> float:
        """Seconds of the first image, loading of weights included."""
        return next(i.seconds for i in self.images if i.seconds is not None)

    @property
    def seconds_per_image(self) -> float:
        """Mean seconds per image; the first one, which loads the weights, counts only where it is the only one."""
        seconds = [i.seconds for i in self.images if i.seconds is not None]
        return float(np.mean(seconds[1:] or seconds))

    @property
    def megapixels(self) -> float:
        """Mean size of the images with a prediction, 10⁶ px."""
        return float(np.mean([i.megapixels for i in self.images if i.seconds is not None]))

    def record(self) -> dict[str, Any]:
        """Return the evaluation as JSON values."""
        return self.figures | {
            "seconds_per_image": round(self.seconds_per_image, DIGITS),
            "seconds_first_image": round(self.first_seconds, DIGITS),
            "megapixels_per_image": round(self.megapixels, DIGITS),
            "device": self.device,
            "algorithms": [choice.record() for choice in self.choices],
            "failed": [{"name": name, "error": error} for name, error in self.failed],
        }


def evaluate(
    host: Host,
    plan: SegmentPlan,
    images: Path,
    labels: Path,
    *,
    channels: Mapping[str, str] | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Segment the images and compare the nuclei with the labels of the same stems.

    Where an image is missing, unreadable or of another size, or an algorithm fails on it, all its labels count as missed; an image without
    labels is left out. Each is reported to ``progress`` in one line and listed in ``failed``.

    Args:
        plan: what its filters reject is not a prediction.
        channels: canonical name -> found name or ``#position``, for files of several channels.
        out: folder for predictions (``<stem>_labels.tif``, int32), metrics.csv and examples.png; None writes nothing.

    Raises:
        UsageError: unknown algorithms or parameters, no images with labels, or ``out`` holds the images or labels themselves.
        CacappError: not one image could be predicted, or the first SAME_FAILURES failed for the same reason.
    """
    progress = progress or Silent()
    if out is not None and out.resolve() in (images.resolve(), labels.resolve()):
        raise UsageError(f"--out {out} holds the images or labels to measure with; predictions go to another folder")
    files, unreadable = labelled_files(images, labels)
    found = measure(host, plan, files, unreadable, channels=channels, out=out, progress=progress)
    if out is not None:
        write_atomically(out / METRICS_CSV, metrics_csv(found.images).encode())
        write_atomically(out / EXAMPLES_PNG, examples_png(_examples(found.images, out, channels)))
    return found


def measure(
    host: Host,
    plan: SegmentPlan,
    files: Sequence[LabelledFile],
    unreadable: Sequence[tuple[str, str]] = (),
    *,
    channels: Mapping[str, str] | None = None,
    out: Path | None = None,
    progress: Progress,
    what: str = "evaluate",
) -> Evaluation:
    """Evaluate a list of files; ``unreadable`` has (name, error) of others. Raises CacappError as ``evaluate`` does."""
    choices, algorithms = build_algorithms(host, plan)
    progress.start(what, len(files))
    measured, failed = [], list(unreadable)
    for _, line in unreadable:
        progress.fail(line)
    for file in files:
        score, error = _measured(algorithms, file, channels, out, progress)
        if score is not None:
            measured.append(score)
        if error is not None:
            progress.fail(error)
            failed.append((file.stem, error))
        progress.advance(file.stem)
        _stop_where_all_fail_alike(measured)
    if all(image.error is not None for image in measured):
        raise CacappError(next((image.error for image in measured if image.error), failed[0][1]))
    if (far := size_warning([image.sizes_px for image in measured if image.sizes_px], choices)) is not None:
        progress.warn(far)
    return Evaluation(tuple(measured), tuple(choices), _device(algorithms.segmenter), tuple(failed))


def _measured(
    algorithms: Algorithms, file: LabelledFile, channels: Mapping[str, str] | None, out: Path | None, progress: Progress
) -> tuple[ImageScore | None, str | None]:
    """Return an image's score, None where its labels cannot be read, and the error."""
    target = None if out is None else prediction_path(out, file)
    if target is not None:
        target.unlink(missing_ok=True)  # an older prediction must not be taken for the result of one that fails now
    if file.labels is None:
        return None, f"{file.image}: no labels of that name; left out"
    try:
        truth = read_labels(file.labels)
    except CacappError as error:
        return None, f"{error}; left out"
    if looks_like_a_foreground_mask(truth):
        progress.warn(f"{file.labels}: one label in several places counts as one nucleus; is this a foreground mask?")
    try:
        pixels, seconds = None, 0.0
        if file.image is None:
            raise CacappError(f"{file.labels}: no image of that name")
        pixels = read_dapi(file.image, channels)
        if pixels.dapi.shape != truth.shape:
            (h, w), (y, x) = pixels.dapi.shape, truth.shape
            raise CacappError(f"{file.image}: {w} x {h} px, its labels {file.labels.name} are {x} x {y} px")
        instances, seconds = predict(algorithms, pixels)
        labels = label_image(instances, *truth.shape)
    except CacappError as error:
        line = str(error) if pixels is None or str(file.image) in str(error) else f"{file.image}: {error}"
        lost = ImageScore(file, match(truth, np.zeros_like(truth)), truth.size / 1e6, None, line)
        return lost, f"{line}; its {lost.match.n_true} nuclei count as missed"
    if target is not None:
        write_atomically(target, _tiff(labels))
    sizes_px = (nucleus_px(truth), nucleus_px(labels)) if pixels.pixel_size_um is None else None
    return ImageScore(file, match(truth, labels), truth.size / 1e6, seconds, sizes_px=sizes_px), None


def _stop_where_all_fail_alike(measured: Sequence[ImageScore]) -> None:
    """Raise CacappError where the first SAME_FAILURES images failed for one reason: a model that does not load fails on all of them."""
    causes = {i.error and i.error.removeprefix(f"{i.file.image}: ") for i in measured}
    if len(measured) == SAME_FAILURES and len(causes) == 1 and (cause := causes.pop()) is not None:
        raise CacappError(cause)


def predict(algorithms: Algorithms, pixels: Pixels) -> tuple[list[Instance], float]:
    """Return the instances of an image that no filter rejects, and the seconds it took. Raises CacappError naming the failed algorithm."""
    dapi, pixel_size_um = pixels.dapi, pixels.pixel_size_um
    start = time.perf_counter()
    prompts = guard.prompt(algorithms.prompter, dapi, pixel_size_um) if algorithms.prompter else Prompts.empty()
    instances = guard.segment(algorithms.segmenter, dapi, prompts, pixel_size_um)
    if algorithms.filters:
        instances = [i for i, gone in zip(instances, rejected(algorithms.filters, instances, pixels), strict=True) if not gone]
    return instances, time.perf_counter() - start


def rejected(filters: Sequence[InstanceFilter], instances: Sequence[Instance], pixels: Pixels) -> list[bool]:
    """Tell for each instance whether a filter rejects it. Raises CacappError naming a filter that failed."""
    shapes = shapes_of(instances, pixels.dapi.shape[0], pixels.dapi.shape[1], pixels.pixel_size_um)
    verdicts = [guard.judge(one, shapes)[0] for one in filters]
    return [any(reasons[n] is not None for reasons in verdicts) for n in range(len(instances))]


def prediction_path(out: Path, file: LabelledFile) -> Path:
    """Return the path of an image's prediction."""
    return out / f"{file.stem}{LABELS_SUFFIX}.tif"


def metrics_csv(images: Sequence[ImageScore]) -> str:
    """Return the CSV text: one row per image; the time of an image without prediction is empty."""
    average = [f"AP@{t}" for t in THRESHOLDS]
    figures = [*average, "F1@0.5", "object_dice", "pixel_dice", "pixel_iou"]
    rows = []
    for image in images:
        found = scores([image.match])
        row: dict[str, Any] = {"image": image.file.stem, "nuclei_true": image.match.n_true, "nuclei_pred": image.match.n_predicted}
        row |= {key: round(found[key], DIGITS) for key in figures}
        rows.append(row | {"seconds": "" if image.seconds is None else f"{image.seconds:.4f}", "error": image.error or ""})
    return to_csv(["image", "nuclei_true", "nuclei_pred", *figures, "seconds", "error"], rows)


def _examples(images: Sequence[ImageScore], out: Path, channels: Mapping[str, str] | None) -> list[Example]:
    """Return the best, median and worst image by AP@0.5 among those with a prediction; object Dice decides ties."""
    ranked = sorted(
        (i for i in images if i.seconds is not None),
        key=lambda i: (-i.match.average_precision(0.5), -i.match.object_dice(), i.file.stem),
    )
    places = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    chosen = {place: title for title, place in reversed(places.items())}  # of one or two images, none is shown twice
    examples = []
    for place in sorted(chosen):
        image = ranked[place]
        assert image.file.image is not None
        assert image.file.labels is not None
        dapi = read_dapi(image.file.image, channels).dapi
        predicted = read_labels(prediction_path(out, image.file))
        title = f"{chosen[place]}: {image.file.stem}, AP@0.5 {image.match.average_precision(0.5):.2f}"
        examples.append(Example(title, dapi, read_labels(image.file.labels), predicted, image.match))
    return examples


def _tiff(labels: Array) -> bytes:
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(file, labels, compression="zlib")
    return file.getvalue()


def _device(segmenter: object) -> str:
    """Return the device that a segmenter ran on; ``auto`` is what torch offers, which is loaded by now."""
    name = str(getattr(segmenter, "device", "cpu"))
    if name != "auto":
        return name
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
