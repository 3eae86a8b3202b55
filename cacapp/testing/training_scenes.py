"""Simulated frames to train a network in a plugin's tests and in ``plugins check --train``, and the progress it reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cacapp.simulation import SlideModel, simulate_frame
from cacapp.types import Array


class RecordedProgress:
    """Training progress that keeps all notes and warnings."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, what: str, total: int) -> None:
        return None

    def advance(self, note: str = "", by: int = 1) -> None:
        self.notes.append(note)

    def warn(self, line: str) -> None:
        self.notes.append(line)


@dataclass(frozen=True)
class TrainedWeights:
    """The file of weights, and the lines that the training logged, one for each epoch."""

    weights: Path
    log: list[dict[str, float]]


@dataclass(frozen=True)
class Frame:
    """A simulated DAPI plane and its true labels."""

    dapi: Array
    labels: Array


def simulated(seed: int) -> Frame:
    """Return a frame of 420 x 440 px with 16 nuclei, another for each seed."""
    frame = simulate_frame(SlideModel(), np.random.default_rng(seed), 420, 440, 16)
    return Frame(frame.planes[0], frame.labels.astype(np.int32))
