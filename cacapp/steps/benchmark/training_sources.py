"""Sources of training samples for the benchmark's trained rows: a person's labels, or pseudo-labels of the user's own images."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cacapp.api import TrainingSamples
from cacapp.arrays.training_sample import seed_of, training_sample
from cacapp.exceptions import CacappError
from cacapp.exchange.labelled_images import LabelledFile, Samples, read_dapi
from cacapp.frames import sha256_of
from cacapp.host import Host
from cacapp.runs.choice import build_algorithm
from cacapp.runs.files import write_atomically
from cacapp.runs.plan import SegmentPlan
from cacapp.runs.progress import Progress
from cacapp.runs.segment_frame import Algorithms, build_algorithms
from cacapp.steps.benchmark.evaluate import SAME_FAILURES, predict, rejected
from cacapp.types import TrainingSample

PSEUDO_PLAN = SegmentPlan(segmenter="sam")
"""The algorithms that make the masks for pseudo-labels, and the filters that judge them."""


class TrainingSource(Protocol):
    """Images with labels to train on."""

    def digest(self) -> str:
        """Return a digest of all that decides the samples. Raises CacappError where an algorithm or its weights are missing."""

    def samples(self, progress: Progress) -> TrainingSamples:
        """Return the samples, making those that are missing. Raises CacappError where no label is accepted."""

    def note(self, samples: TrainingSamples) -> str:
        """Return a note on a model that is trained on the samples, in a line; may be empty."""


@dataclass(frozen=True, slots=True)
class HumanLabels:
    """Labels that a person drew."""

    files: Sequence[LabelledFile]
    channels: Mapping[str, str] | None

    def digest(self) -> str:
        return digest_of([files_digest(self.files), _items(self.channels)])

    def samples(self, progress: Progress) -> TrainingSamples:
        return Samples(self.files, self.channels)

    def note(self, samples: TrainingSamples) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class StoredSamples:
    """Pseudo-labelled images in files, read when indexed. ``nuclei``: number of labels."""

    paths: Sequence[Path]
    nuclei: int

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> TrainingSample:
        sample = _read(self.paths[index])
        if sample is None:
            raise CacappError(f"{self.paths[index]} is missing or damaged; repeat the command to make it again")
        return sample


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Pseudo-labels of the user's own images: masks of PSEUDO_PLAN, judged by its filters; rejected nuclei are filled with background.

    Each image is processed once and stored in ``folder``, so that an interrupted command resumes, and all rows train on the same samples.

    Attributes:
        files: with images; their labels are not read.
        params: of the plan's algorithms, by name.
        seed: of the noise that fills rejected nuclei.
        measured: the rows are measured on these same images.
    """

    host: Host
    files: Sequence[LabelledFile]
    channels: Mapping[str, str] | None
    params: Mapping[str, Mapping[str, Any]]
    seed: int
    folder: Path
    measured: bool

    def digest(self) -> str:
        return digest_of([self._labelling_digest(), files_digest([replace(file, labels=None) for file in self.files])])

    def samples(self, progress: Progress) -> StoredSamples:
        _, algorithms = build_algorithms(self.host, replace(PSEUDO_PLAN, params=self.params))
        progress.start("pseudo-label", len(self.files))
        labelling, paths, nuclei, failures = self._labelling_digest(), [], 0, []
        for file in self.files:
            assert file.image is not None
            path = self.folder / f"{digest_of([labelling, sha256_of(file.image)])[:32]}.npz"
            try:
                sample = _read(path) or self._make(algorithms, file.image, path)
                paths.append(path)
                nuclei += len(np.unique(sample.labels[sample.labels > 0]))
            except CacappError as error:
                line = str(error) if str(file.image) in str(error) else f"{file.image}: {error}"
                progress.warn(f"{line}; it is not trained on")
                failures.append(line)
                if not paths and len(failures) == SAME_FAILURES:
                    break
            progress.advance(file.stem)
        if not paths and failures:
            raise CacappError(f"no image could be pseudo-labelled: {failures[0]}")
        if not nuclei:
            raise CacappError(
                f"none of {len(paths)} images has a mask that is accepted as a pseudo-label; loosen the bounds of filter "
                f"{PSEUDO_PLAN.filters[0]} with --set (see: cacapp plugins show {PSEUDO_PLAN.filters[0]})"
            )
        return StoredSamples(tuple(paths), nuclei)

    def note(self, samples: TrainingSamples) -> str:
        nuclei = samples.nuclei if isinstance(samples, StoredSamples) else 0
        count = f"{len(samples)} image{'s' if len(samples) != 1 else ''}"
        here = ", measured here; their human labels were not read (--train DIR names other images)" if self.measured else ""
        return f"trained on {nuclei} pseudo-labels of {count}{here}"

    def _labelling_digest(self) -> str:
        """Return a digest of all that decides the labels of an image."""
        plan = PSEUDO_PLAN
        named = [("prompter", plan.prompter), ("segmenter", plan.segmenter), *(("filter", name) for name in plan.filters)]
        records = [build_algorithm(self.host, kind, name, self.params.get(name, {}))[0].record() for kind, name in named]
        return digest_of([records, self.seed, _items(self.channels)])

    def _make(self, algorithms: Algorithms, image: Path, path: Path) -> TrainingSample:
        pixels = read_dapi(image, self.channels)
        instances, _ = predict(replace(algorithms, filters=()), pixels)
        is_rejected = rejected(algorithms.filters, instances, pixels)
        sample = training_sample(
            pixels.dapi,
            [i for i, out in zip(instances, is_rejected, strict=True) if not out],
            [i for i, out in zip(instances, is_rejected, strict=True) if out],
            pixels.pixel_size_um,
            seed_of(sha256_of(image), self.seed),
        )
        file = io.BytesIO()
        np.savez_compressed(file, dapi=sample.dapi, labels=sample.labels, pixel_size_um=sample.pixel_size_um or 0.0)
        write_atomically(path, file.getvalue())
        return sample


def files_digest(files: Sequence[LabelledFile]) -> str:
    """Return a digest of the names and contents of images and labels."""
    return digest_of([[f.stem, *(sha256_of(p) if p else None for p in (f.image, f.labels))] for f in files])


def digest_of(value: Any) -> str:
    """Return the hex SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _items(channels: Mapping[str, str] | None) -> list[tuple[str, str]]:
    return sorted((channels or {}).items())


def _read(path: Path) -> TrainingSample | None:
    """Return a stored sample; None where it is missing or damaged."""
    try:
        with np.load(path) as kept:
            return TrainingSample(kept["dapi"], kept["labels"], float(kept["pixel_size_um"]) or None)
    except Exception:  # numpy and zipfile raise exceptions of any type on damaged files
        return None
