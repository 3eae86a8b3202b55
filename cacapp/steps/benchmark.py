"""Step ``benchmark``: the method paper's Table 1 on the user's own images, with every segmenter that is installed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cacapp.errors import CacappError, UsageError
from cacapp.frames import sha256_of
from cacapp.host import Host, Registered, assign
from cacapp.report.comparison import SVG_NAME, Comparison, Line, csv_text, markdown, svg
from cacapp.steps.evaluate import measure
from cacapp.steps.files import write_atomically
from cacapp.steps.labelled import LabelledFile, Samples, labelled_files
from cacapp.steps.methods import Row, rows_of
from cacapp.steps.plan import choose
from cacapp.steps.progress import Progress
from cacapp.steps.segment import SegmentPlan

FORMAT = 1
"""Of the kept results; another number makes them be measured again."""

MODEL_FIELDS = ("model", "weights")
"""The parameter of a trainable segmenter that takes the path ``train`` returned; the first it has."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark to run: ``folder`` and ``train`` have images/ and labels/; results are kept in ``out``.

    Attributes:
        settings: ``--set`` texts, for every row that has the algorithm; a row's own parameters go before them.
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
        """Measures the rows (those named in ``only``; of others what was kept) and writes benchmark.md, .csv and .svg after each.

        A row that cannot be measured says why in its note and stops no other. A finished row is not measured again while images,
        labels, algorithms, versions, parameters and weights are the same.

        Raises:
            UsageError: unknown rows or parameters, folders without labelled images, or images both trained and measured on.
        """
        rows = rows_of(self.host)
        unknown = next((key for key in only if key not in {row.key for row in rows}), None)
        if unknown is not None:
            raise UsageError(f"--row {unknown}: there is no such row; see: cacapp benchmark DIR --rows")
        values = self._settings(rows)
        files, wrong = _files(self.folder)
        data = _Data(files, wrong, _digest(files))
        training = self._training(data)
        once = _Once(self.progress)
        done: list[tuple[Line, Mapping[str, Any]]] = []
        for row in rows:
            result = self._row(row, values, data, training, once, bool(only) and row.key not in only)
            if result is not None:
                done.append(result)
                self._write(_comparison(done, self.folder))
        return _comparison(done, self.folder)

    def _settings(self, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
        names = dict.fromkeys([("prompter", row.prompter) for row in rows] + [("segmenter", row.segmenter) for row in rows])
        installed = {(found.kind, found.name): found for found in self.host.algorithms()}
        return assign(self.settings, [installed[name] for name in names if name in installed])

    def _training(self, data: _Data) -> _Data | None:
        if self.train is None:
            return None
        files, wrong = _files(self.train)
        for _, line in wrong:
            self.progress.fail(line)
        complete = [f for f in files if f.image and f.labels]
        measured = {sha256_of(f.image): f.image for f in data.files if f.image}
        both = [(f.image, measured[digest]) for f in complete if f.image and (digest := sha256_of(f.image)) in measured]
        if both:
            raise UsageError(
                f"--train {self.train} and {self.folder} share {len(both)} images, {both[0][0]} and {both[0][1]} for one; "
                "measure on images that were not trained on"
            )
        return _Data(complete, wrong, _digest(complete))

    def _row(
        self, row: Row, values: Mapping[str, Mapping[str, Any]], data: _Data, training: _Data | None, progress: Progress, kept_only: bool
    ) -> tuple[Line, Mapping[str, Any]] | None:
        """A row's line and record; None where it is not asked for and nothing was kept."""
        paper_dice, paper_seconds = row.paper or (None, None)
        empty = Line(row.key, row.method, paper_dice=paper_dice, paper_seconds=paper_seconds)
        path = self.out / "rows" / f"{row.key}.json"
        kept = _read(path)
        if kept_only and kept is None:
            return None
        try:
            plan, weights = self._plan(row, values, training, progress, train=not kept_only)
            key = _fingerprint(self.host, plan, [data.digest, sorted((self.channels or {}).items()), weights])
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
        line = replace(
            empty,
            ap50=figures["AP@0.5"],
            ap75=figures["AP@0.75"],
            object_dice=figures["object_dice"],
            pixel_dice=figures["pixel_dice"],
            seconds=round(found.seconds_per_image, 4),
            device=found.device,
            note=f"{missing} images without prediction; their nuclei count as missed" if missing else "",
        )
        record = {"fingerprint": key, "line": asdict(line), "evaluation": found.record()}
        write_atomically(path, json.dumps(record, indent=1).encode())
        return line, record

    def _plan(
        self, row: Row, values: Mapping[str, Mapping[str, Any]], training: _Data | None, progress: Progress, train: bool
    ) -> tuple[SegmentPlan, str]:
        """What the row runs, trained first where it learns; and the digest of what it learnt from, "" for nothing."""
        if not any(r.name == row.segmenter for r in self.host.algorithms("segmenter")) and not any(
            p.name == row.segmenter for p in self.host.problems
        ):
            raise CacappError(f"no segmenter {row.segmenter!r} installed: {row.get}")
        found = self.host.find("segmenter", row.segmenter)
        params = {**values.get(row.segmenter, {}), **row.params}
        learnt = ""
        if row.learns:
            if training is None:
                raise CacappError(f"it learns from {row.learns}: give them with --train DIR, a folder with images/ and labels/")
            params |= self._learnt(row, found, params, training, progress, train)
            learnt = training.digest
        return SegmentPlan(row.prompter, row.segmenter, (), {**values, row.segmenter: params}), learnt

    def _learnt(
        self, row: Row, found: Registered, params: Mapping[str, Any], training: _Data, progress: Progress, train: bool
    ) -> dict[str, Any]:
        """The parameter that names the model trained for this row; trained now unless an earlier call finished it."""
        parameter = next((name for name in MODEL_FIELDS if name in found.cls.model_fields), None)
        if parameter is None or not callable(getattr(found.cls, "train", None)):
            raise CacappError(f"segmenter {row.segmenter!r} ({found.origin}) cannot be trained")
        choice, built = choose(self.host, "segmenter", row.segmenter, params)
        key = _sha256([FORMAT, choice.record(), training.digest, self.seed])
        note = self.out / "models" / f"{row.key}.json"
        kept = _read(note)
        if kept is not None and kept["fingerprint"] == key and Path(kept["model"]).exists() and not (self.force and train):
            return {parameter: kept["model"]}
        if not train:
            raise CacappError("not trained yet")
        progress.start(f"train {row.key}", 0)
        trainer: Any = built
        try:
            model = Path(trainer.train(Samples(training.files, self.channels), self.out / "models" / row.key, self.seed, progress))
        except CacappError:
            raise
        except (Exception, SystemExit) as error:
            text = " ".join(str(error).split())
            raise CacappError(f"segmenter {row.segmenter!r} ({found.origin}): training failed: {type(error).__name__}: {text}") from error
        write_atomically(note, json.dumps({"fingerprint": key, "model": str(model)}).encode())
        return {parameter: str(model)}

    def _write(self, comparison: Comparison) -> None:
        write_atomically(self.out / "benchmark.md", markdown(comparison).encode())
        write_atomically(self.out / "benchmark.csv", csv_text(comparison).encode())
        write_atomically(self.out / SVG_NAME, svg(comparison).encode())


@dataclass(frozen=True, slots=True)
class _Data:
    """Labelled images, what was wrong with others, and a digest over all their files."""

    files: Sequence[LabelledFile]
    wrong: Sequence[tuple[str, str]]
    digest: str


class _Once:
    """Passes on what it is told, a line that was told before only the first time: every row meets the same bad files."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._told: set[str] = set()
        self.start, self.advance = progress.start, progress.advance

    def warn(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._progress.warn(line)

    def fail(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._progress.fail(line)


def _files(folder: Path) -> tuple[list[LabelledFile], list[tuple[str, str]]]:
    for part in ("images", "labels"):
        if not (folder / part).is_dir():
            raise UsageError(f"{folder} has no folder {part}/; it needs images/ and labels/, with files of the same stems")
    return labelled_files(folder / "images", folder / "labels")


def _digest(files: Sequence[LabelledFile]) -> str:
    return _sha256([[f.stem, *(sha256_of(p) if p else None for p in (f.image, f.labels))] for f in files])


def _fingerprint(host: Host, plan: SegmentPlan, data: Sequence[Any]) -> str:
    """What a row's result follows from. Raises CacappError where an algorithm cannot be built or its weights are not here."""
    choice, segmenter = choose(host, "segmenter", plan.segmenter, plan.params.get(plan.segmenter, {}))
    records = [choice.record()]
    if getattr(segmenter, "needs_prompts", True):
        records.append(choose(host, "prompter", plan.prompter, plan.params.get(plan.prompter, {}))[0].record())
    return _sha256([FORMAT, records, *data])


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    """A kept result; None where there is none or it cannot be read: it is then made again."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and "fingerprint" in value else None


def _comparison(done: Sequence[tuple[Line, Mapping[str, Any]]], folder: Path) -> Comparison:
    evaluations = [record["evaluation"] for _, record in done if record]
    about = f"{folder}: no row could be measured."
    if evaluations:
        first = evaluations[0]
        about = (
            f"{folder}: {first['images']} images with {first['nuclei_true']} nuclei, {first['megapixels_per_image']:.2f} megapixels an "
            f"image (the paper's frames: 14.86). Measured on {platform.machine()} with {os.cpu_count()} cores."
        )
    return Comparison(tuple(line for line, _ in done), about, any(e["failed"] for e in evaluations))
