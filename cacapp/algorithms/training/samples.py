"""Training samples at the scale of the network, stored in files, each read and scaled once for all crops."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from cacapp.algorithms.sam.tiled import scaled_frame
from cacapp.algorithms.training.files import write_whole
from cacapp.api import TrainingProgress, TrainingSamples
from cacapp.exceptions import CacappError
from cacapp.types import UNKNOWN, Array, TrainingSample

VALIDATION_SHARE = 0.15
"""Share of frames for validation; of the rows of a single frame, and twice that if they contain no nucleus."""

ENOUGH = 5
"""Least number of nuclei for a frame's own median diameter; with fewer the median of all frames is used."""

SMALLEST_PART_PX = 64


@dataclass(frozen=True, slots=True)
class Scaled:
    """Sample at working scale.

    Attributes:
        path: file of (2, Y, X) int16: grey levels 0..255, and labels as in TrainingSample.
        rows: range (first, last) of its rows in this set.
        centres_yx: (N, 2) float32 of the nuclei in that part, px from its first row.
        height_px, width_px: of the part.
    """

    path: Path
    rows: tuple[int, int]
    centres_yx: Array = field(repr=False)
    height_px: int
    width_px: int

    def read(self) -> tuple[Array, Array]:
        """Return grey levels and labels, (Y, X) int16 each, memory-mapped: pixels are read when used."""
        both = np.load(self.path, mmap_mode="r")
        return both[0, slice(*self.rows)], both[1, slice(*self.rows)]


@dataclass(frozen=True, slots=True)
class Sets:
    """Training frames, validation frames, and the digest of both."""

    learn: tuple[Scaled, ...]
    validation: tuple[Scaled, ...]
    digest: str
    nuclei: int


def prepare(samples: TrainingSamples, folder: Path, nucleus_px: float, seed: int, progress: TrainingProgress) -> Sets:
    """Scale all samples into ``folder`` and divide them into training and validation frames; a single frame is divided into strips.

    Args:
        nucleus_px: diameter of a nucleus at the working scale.
        seed: determines the validation frames.

    Raises:
        CacappError: no sample has an accepted label, or the folder cannot be written.
    """
    progress.start("scale training images", len(samples))
    frames: dict[int, Scaled] = {}
    shas: dict[int, str] = {}
    few: list[int] = []
    diameters: list[float] = []
    for i in range(len(samples)):
        sample = samples[i]
        diameter, n = _diameter(sample)
        diameters += [diameter] if n else []
        if n < ENOUGH:
            few.append(i)
            continue
        frames[i], shas[i] = _scale(sample, diameter, nucleus_px, folder / f"{i:05d}.npy")
        progress.advance(f"image {i + 1}")
    if not diameters:
        raise CacappError(
            f"nothing can be learnt: none of the {len(samples)} training images has an accepted label; "
            "see why with `cacapp pseudo-label --stats`, then loosen the filters"
        )
    overall = float(np.median(diameters))
    for i in few:
        frames[i], shas[i] = _scale(samples[i], overall, nucleus_px, folder / f"{i:05d}.npy")
        progress.advance(f"image {i + 1}")
    learn, validation = _divide([frames[i] for i in sorted(frames)], np.random.default_rng([abs(seed), 1]))
    if not validation:
        progress.warn("the training images are too few to hold some back: the model is validated on what it learns from")
    digest = hashlib.sha256("".join(shas[i] for i in sorted(shas)).encode()).hexdigest()
    return Sets(tuple(learn), tuple(validation or learn), digest, sum(len(one.centres_yx) for one in frames.values()))


def _diameter(sample: TrainingSample) -> tuple[float, int]:
    """Return the median diameter of a sample's nuclei, px, and their number."""
    labels = sample.labels
    areas = np.bincount(labels[labels > 0].ravel()) if (labels > 0).any() else np.zeros(1, int)
    areas = areas[areas > 0]
    return (float(np.sqrt(np.median(areas) * 4 / np.pi)), len(areas)) if len(areas) else (0.0, 0)


def _scale(sample: TrainingSample, diameter_px: float, nucleus_px: float, path: Path) -> tuple[Scaled, str]:
    """Scale a sample into its file; return it and the digest of the file."""
    frame = scaled_frame(sample.dapi, diameter_px, nucleus_px)
    present = np.bincount(np.maximum(sample.labels, 0).ravel()) > 0
    present[0] = False
    if (nuclei := int(present.sum())) > np.iinfo(np.int16).max:
        raise CacappError(f"a training image has {nuclei} nuclei; cut it into images of 32,767 at most")
    number = (np.cumsum(present) * present).astype(np.int16)
    labels = np.where(sample.labels == UNKNOWN, np.int16(UNKNOWN), number[np.maximum(sample.labels, 0)])
    small = cv2.resize(labels, frame.image.shape[::-1], interpolation=cv2.INTER_NEAREST)
    both = np.stack([np.round(frame.image).astype(np.int16), small])
    buffer = io.BytesIO()
    np.save(buffer, both)
    write_whole(path, buffer.getbuffer())
    return Scaled(path, (0, small.shape[0]), _centres(small), *small.shape), hashlib.sha256(buffer.getbuffer()).hexdigest()


def _centres(labels: Array) -> Array:
    """Return (N, 2) float32 centres (y, x) of the labels from 1 up."""
    rows, columns = np.nonzero(labels > 0)
    values = labels[rows, columns].astype(int)
    n = np.bincount(values)
    present = n > 0
    centres = np.stack([np.bincount(values, rows)[present], np.bincount(values, columns)[present]], axis=1)
    return np.asarray(centres / n[present][:, None], np.float32)


def _divide(frames: list[Scaled], rng: np.random.Generator) -> tuple[list[Scaled], list[Scaled]]:
    """Return training and validation frames; no validation frames if either part would have no nucleus."""
    order = rng.permutation(len(frames)).tolist()
    useful = [i for i in order if len(frames[i].centres_yx)]
    if len(useful) > 1:
        validation = set(useful[: max(1, round(VALIDATION_SHARE * len(useful)))])
        return [f for i, f in enumerate(frames) if i not in validation], [frames[i] for i in sorted(validation)]
    whole = frames[useful[0]]
    ends = [True, False] if rng.integers(2) else [False, True]
    for share, first in product((VALIDATION_SHARE, 2 * VALIDATION_SHARE), ends):
        strip = round(share * whole.height_px)
        at = strip if first else whole.height_px - strip
        above, below = _rows(whole, 0, at), _rows(whole, at, whole.height_px)
        learn, hold = (below, above) if first else (above, below)
        if strip >= SMALLEST_PART_PX and len(learn.centres_yx) and len(hold.centres_yx):
            return [learn], [hold]
    return frames, []


def _rows(whole: Scaled, first: int, last: int) -> Scaled:
    y = whole.centres_yx[:, 0]
    inside = whole.centres_yx[(y >= first) & (y < last)] - np.array([first, 0], np.float32)
    return Scaled(whole.path, (first, last), inside, last - first, whole.width_px)
