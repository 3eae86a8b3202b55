"""Step ``benchmark``: measure every installed segmenter on the same images, as Table 1 of the method's paper does."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cacapp import defaults
from cacapp.api import TrainableSegmenter
from cacapp.exceptions import CacappError, UsageError
from cacapp.exchange.labelled_images import LabelledFile, image_files, labelled_files
from cacapp.frames import sha256_of
from cacapp.host import Host, Registered, assign
from cacapp.report.comparison import SVG_NAME, Comparison, Line, csv_text, markdown, svg
from cacapp.runs.choice import build_algorithm
from cacapp.runs.files import write_atomically
from cacapp.runs.plan import SegmentPlan
from cacapp.runs.progress import Progress
from cacapp.runs.training import WEIGHTS, train_segmenter, training_settings
from cacapp.steps.benchmark.evaluate import measure
from cacapp.steps.benchmark.methods import HUMAN, Row, negatives, rows_of
from cacapp.steps.benchmark.training_sources import PSEUDO_PLAN, HumanLabels, PseudoLabels, TrainingSource, digest_of, files_digest

FORMAT = 2
"""Format of the stored results; a change makes all rows be measured again."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark: ``folder`` has images/ and labels/, ``train`` has images/ and optionally labels/; results are stored in ``out``.

    Attributes:
        settings: ``--set`` texts, for every row with the algorithm; a row's own parameters override them.
        channels: canonical name -> found name or ``#position``, for images of several channels.
        seed: of the training.
        force: measure again what ``out`` holds.
    """

    host: Host
    folder: Path
    train: Path | None
    out: Path
    settings: Sequence[str]
    channels: Mapping[str, str] | None
    seed: int
    force: bool
    progress: Progress

    def run(self, only: Sequence[str] = ()) -> Comparison:
        """Measure the rows and write benchmark.md, .csv and .svg after each.

        A row that cannot be measured says why in its note and stops no other. A finished row is not measured again while images,
        labels, algorithms, versions, parameters and weights are the same.

        Args:
            only: rows to measure; of the others the stored results are shown.

        Raises:
            UsageError: unknown rows or parameters, folders without labelled images, or images both trained and measured on.
        """
        values = self._settings(rows_of(self.host))
        rows = rows_of(self.host, values)
        unknown = next((key for key in only if key not in {row.key for row in rows}), None)
        if unknown is not None:
            raise UsageError(f"--row {unknown}: there is no such row; see: cacapp benchmark DIR --rows")
        data = _Data(*_files(self.folder))
        warn_once = _WarnOnce(self.progress)
        training = self._training(data, warn_once)
        done: list[tuple[Line, Mapping[str, Any]]] = []
        for row in rows:
            result = self._row(row, values, data, training, warn_once, bool(only) and row.key not in only)
            if result is not None:
                done.append(result)
                self._write(self._comparison(done, values))
        return self._comparison(done, values)

    def _settings(self, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
        names = [("prompter", row.prompter) for row in rows] + [("segmenter", row.segmenter) for row in rows]
        names += [("filter", name) for name in PSEUDO_PLAN.filters]
        installed = {(found.kind, found.name): found for found in self.host.algorithms()}
        return assign(self.settings, [installed[name] for name in dict.fromkeys(names) if name in installed])

    def _training(self, data: _Data, progress: Progress) -> _Data | None:
        if self.train is None:
            return None
        if not (self.train / "images").is_dir():
            raise UsageError(f"--train {self.train} has no folder images/")
        files, wrong = _files(self.train) if (self.train / "labels").is_dir() else image_files(self.train / "images")
        for _, line in wrong:
            progress.fail(line)
        measured = {sha256_of(f.image): f.image for f in data.files if f.image}
        both = [(f.image, measured[digest]) for f in files if f.image and (digest := sha256_of(f.image)) in measured]
        if both:
            raise UsageError(
                f"--train {self.train} and {self.folder} share {len(both)} images, {both[0][0]} and {both[0][1]} for one; "
                "measure on images that were not trained on"
            )
        return _Data(files, wrong)

    def _training_source(self, row: Row, values: Mapping[str, Mapping[str, Any]], data: _Data, training: _Data | None) -> TrainingSource:
        """Return the training source of a row. Raises CacappError where it is missing."""
        if row.learns == HUMAN:
            complete = [file for file in training.files if file.image and file.labels] if training else []
            if not complete:
                raise CacappError(f"it learns from {row.learns}: give them with --train DIR, a folder with images/ and labels/")
            return HumanLabels(complete, self.channels)
        files = [file for file in (training or data).files if file.image]
        return PseudoLabels(self.host, files, self.channels, values, self.seed, self.out / "pseudo-labels", measured=training is None)

    def _row(
        self, row: Row, values: Mapping[str, Mapping[str, Any]], data: _Data, training: _Data | None, progress: Progress, kept_only: bool
    ) -> tuple[Line, Mapping[str, Any]] | None:
        """Return a row's line and record; None where the row is not requested and has no stored result."""
        paper_dice, paper_seconds = row.paper or (None, None)
        empty = Line(row.key, row.method, paper_dice=paper_dice, paper_seconds=paper_seconds)
        path = self.out / "rows" / f"{row.key}.json"
        kept = _read(path)
        if kept_only and kept is None:
            return None
        try:
            source = self._training_source(row, values, data, training) if row.learns and _installed(self.host, row) else None
            plan, training_note = self._plan(row, values, source, progress, train=not kept_only)
            key = _fingerprint(self.host, plan, [files_digest(data.files), sorted((self.channels or {}).items()), training_note])
            if kept is not None and kept["fingerprint"] == key and (kept_only or not self.force):
                return Line(**kept["line"]), kept
            if kept_only:
                return None
            found = measure(self.host, plan, data.files, data.wrong, channels=self.channels, progress=progress, what=row.key)
        except CacappError as error:
            if kept_only:
                return None
            return replace(empty, note=f"not run: {error}"), {}
        figures = found.figures
        missing = int(figures["missing"])
        notes = [f"{missing} images without prediction; their nuclei count as missed"] if missing else []
        line = replace(
            empty,
            ap50=figures["AP@0.5"],
            ap75=figures["AP@0.75"],
            object_dice=figures["object_dice"],
            pixel_dice=figures["pixel_dice"],
            seconds=round(found.seconds_per_image, 4),
            device=found.device,
            note="; ".join([training_note, *notes] if training_note else notes),
        )
        record = {"fingerprint": key, "line": asdict(line), "evaluation": found.record()}
        write_atomically(path, json.dumps(record, indent=1).encode())
        return line, record

    def _plan(
        self, row: Row, values: Mapping[str, Mapping[str, Any]], source: TrainingSource | None, progress: Progress, train: bool
    ) -> tuple[SegmentPlan, str]:
        """Return the row's plan, after training where the row needs it, and a note on the training."""
        if not _installed(self.host, row):
            raise CacappError(f"no segmenter {row.segmenter!r} installed: {row.get}")
        found = self.host.find("segmenter", row.segmenter)
        params = {**values.get(row.segmenter, {}), **row.params}
        training_note = ""
        if source is not None:
            weights, training_note = self._train(row, found, params, source, progress, train)
            params |= weights
        prompting = {**values.get(row.prompter, {}), **row.prompter_params}
        return SegmentPlan(row.prompter, row.segmenter, (), {**values, row.prompter: prompting, row.segmenter: params}), training_note

    def _train(
        self, row: Row, found: Registered, params: Mapping[str, Any], source: TrainingSource, progress: Progress, train: bool
    ) -> tuple[dict[str, Any], str]:
        """Train the row's model unless an earlier call finished it; return the parameter that names its weights, and a note.

        Each training source has a folder of its own: an interrupted training resumes there, and none overwrites another's model.
        """
        if not issubclass(found.cls, TrainableSegmenter) or WEIGHTS not in found.cls.model_fields:
            raise CacappError(f"segmenter {row.segmenter!r} ({found.origin}) cannot be trained")
        trainer: Any = self.host.build("segmenter", row.segmenter, params)
        key = digest_of([FORMAT, found.name, found.distribution, found.version, training_settings(trainer), source.digest(), self.seed])
        folder = self.out / "models" / f"{row.key}-{key[:8]}"
        note = folder.with_suffix(".json")
        kept = _read(note)
        if kept is not None and kept["fingerprint"] == key and _same_file(Path(kept["model"]), kept["sha256"]):
            return {WEIGHTS: kept["model"]}, str(kept["note"])
        if not train:
            raise CacappError("not trained yet")
        samples = source.samples(progress)
        progress.start(f"train {row.key}", 0)
        model = train_segmenter(found, trainer, samples, folder, self.seed, progress)
        record = {"fingerprint": key, "model": str(model), "sha256": sha256_of(model), "note": source.note(samples)}
        write_atomically(note, json.dumps(record).encode())
        return {WEIGHTS: str(model)}, record["note"]

    def _comparison(self, done: Sequence[tuple[Line, Mapping[str, Any]]], values: Mapping[str, Mapping[str, Any]]) -> Comparison:
        evaluations = [record["evaluation"] for _, record in done if record]
        about = f"{self.folder}: no row could be measured."
        if evaluations:
            first = evaluations[0]
            about = (
                f"{self.folder}: {first['images']} images with {first['nuclei_true']} nuclei, {first['megapixels_per_image']:.2f} "
                f"megapixels an image (the paper's frames: 14.86). Measured on {platform.machine()} with {os.cpu_count()} cores."
            )
        lines = tuple(line for line, _ in done)
        return Comparison(lines, about, any(e["failed"] for e in evaluations), negatives(self.host, values.get(defaults.PROMPTER)))

    def _write(self, comparison: Comparison) -> None:
        write_atomically(self.out / "benchmark.md", markdown(comparison).encode())
        write_atomically(self.out / "benchmark.csv", csv_text(comparison).encode())
        write_atomically(self.out / SVG_NAME, svg(comparison).encode())


@dataclass(frozen=True, slots=True)
class _Data:
    """Images, some with labels, and (name, error) of the unreadable ones."""

    files: Sequence[LabelledFile]
    wrong: Sequence[tuple[str, str]]


class _WarnOnce:
    """A progress that passes on each line once: every row meets the same unreadable files."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._shown: set[str] = set()
        self.start, self.advance = progress.start, progress.advance

    def warn(self, line: str) -> None:
        if line not in self._shown:
            self._shown.add(line)
            self._progress.warn(line)

    def fail(self, line: str) -> None:
        if line not in self._shown:
            self._shown.add(line)
            self._progress.fail(line)


def _files(folder: Path) -> tuple[list[LabelledFile], list[tuple[str, str]]]:
    for part in ("images", "labels"):
        if not (folder / part).is_dir():
            raise UsageError(f"{folder} has no folder {part}/; it needs images/ and labels/, with files of the same stems")
    return labelled_files(folder / "images", folder / "labels")


def _installed(host: Host, row: Row) -> bool:
    """Tell whether the row's segmenter is installed, even if it is broken."""
    names = [found.name for found in host.algorithms("segmenter")] + [problem.name for problem in host.problems]
    return row.segmenter in names


def _same_file(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def _fingerprint(host: Host, plan: SegmentPlan, data: Sequence[Any]) -> str:
    """Return a digest of all that decides a row's result. Raises CacappError where an algorithm cannot be built or lacks weights."""
    choice, segmenter = build_algorithm(host, "segmenter", plan.segmenter, plan.params.get(plan.segmenter, {}))
    records = [choice.record()]
    if getattr(segmenter, "needs_prompts", True):
        records.append(build_algorithm(host, "prompter", plan.prompter, plan.params.get(plan.prompter, {}))[0].record())
    return digest_of([FORMAT, records, *data])


def _read(path: Path) -> dict[str, Any] | None:
    """Return a stored result; None where there is none or it cannot be read, and must be made again."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and "fingerprint" in value else None
