"""What the rows of the benchmark that learn are taught: labels of a person, or pseudo-labels of the user's own images."""

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
"""Where the masks come from that may become pseudo-labels, and who judges them."""


class TrainingSource(Protocol):
    """Images with labels to learn from."""

    def digest(self) -> str:
        """Over all that the samples follow from. Raises CacappError where an algorithm or its weights are not here."""

    def samples(self, progress: Progress) -> TrainingSamples:
        """The samples, made now where they must be. Raises CacappError where there is nothing to learn."""

    def note(self, samples: TrainingSamples) -> str:
        """What to know of a row that learnt from them, in a line; may be empty."""


@dataclass(frozen=True, slots=True)
class HumanLabels:
    """Labels a person drew, as they are."""

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
    """Pseudo-labelled images in files, read when indexed. ``nuclei``: how many labels they have."""

    paths: Sequence[Path]
    nuclei: int

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> TrainingSample:
        sample = _read(self.paths[index])
        if sample is None:
            raise CacappError(f"{self.paths[index]} is gone or damaged; the same command makes it again")
        return sample


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Pseudo-labels of the user's own images: their masks by PSEUDO_PLAN, judged by its filters, rejects filled with background.

    Each image is done once and kept in ``folder``, so that a command that was stopped goes on, and every row learns from the same.

    Attributes:
        files: with images; labels a person drew beside them are not read.
        params: of the plan's algorithms, by name.
        seed: of the noise that fills.
        measured: the rows are measured on these very images.
    """

    host: Host
    files: Sequence[LabelledFile]
    channels: Mapping[str, str] | None
    params: Mapping[str, Mapping[str, Any]]
    seed: int
    folder: Path
    measured: bool

    def digest(self) -> str:
        return digest_of([self._way(), files_digest([replace(file, labels=None) for file in self.files])])

    def samples(self, progress: Progress) -> StoredSamples:
        _, algorithms = build_algorithms(self.host, replace(PSEUDO_PLAN, params=self.params))
        progress.start("pseudo-label", len(self.files))
        way, paths, nuclei, failures = self._way(), [], 0, []
        for file in self.files:
            assert file.image is not None
            path = self.folder / f"{digest_of([way, sha256_of(file.image)])[:32]}.npz"
            try:
                sample = _read(path) or self._make(algorithms, file.image, path)
                paths.append(path)
                nuclei += len(np.unique(sample.labels[sample.labels > 0]))
            except CacappError as error:
                line = str(error) if str(file.image) in str(error) else f"{file.image}: {error}"
                progress.warn(f"{line}; it teaches nothing")
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
        return f"learnt from {nuclei} pseudo-labels of {count}{here}"

    def _way(self) -> str:
        """Digest of all that decides the labels of an image."""
        plan = PSEUDO_PLAN
        named = [("prompter", plan.prompter), ("segmenter", plan.segmenter), *(("filter", name) for name in plan.filters)]
        records = [build_algorithm(self.host, kind, name, self.params.get(name, {}))[0].record() for kind, name in named]
        return digest_of([records, self.seed, _items(self.channels)])

    def _make(self, algorithms: Algorithms, image: Path, path: Path) -> TrainingSample:
        pixels = read_dapi(image, self.channels)
        instances, _ = predict(replace(algorithms, filters=()), pixels)
        gone = rejected(algorithms.filters, instances, pixels)
        sample = training_sample(
            pixels.dapi,
            [i for i, out in zip(instances, gone, strict=True) if not out],
            [i for i, out in zip(instances, gone, strict=True) if out],
            pixels.pixel_size_um,
            seed_of(sha256_of(image), self.seed),
        )
        file = io.BytesIO()
        np.savez_compressed(file, dapi=sample.dapi, labels=sample.labels, pixel_size_um=sample.pixel_size_um or 0.0)
        write_atomically(path, file.getvalue())
        return sample


def files_digest(files: Sequence[LabelledFile]) -> str:
    """Over the names and contents of images and labels."""
    return digest_of([[f.stem, *(sha256_of(p) if p else None for p in (f.image, f.labels))] for f in files])


def digest_of(value: Any) -> str:
    """Hex SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _items(channels: Mapping[str, str] | None) -> list[tuple[str, str]]:
    return sorted((channels or {}).items())


def _read(path: Path) -> TrainingSample | None:
    """A kept sample; None where it is not there or not whole."""
    try:
        with np.load(path) as kept:
            return TrainingSample(kept["dapi"], kept["labels"], float(kept["pixel_size_um"]) or None)
    except Exception:  # numpy and zipfile raise anything at all on damaged files
        return None
