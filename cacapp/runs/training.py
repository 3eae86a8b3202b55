"""Train a segmenter, for the steps that have samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cacapp.api import TrainableSegmenter, TrainingSamples
from cacapp.exceptions import CacappError
from cacapp.host import Registered
from cacapp.processes.child import failure
from cacapp.runs.progress import Progress

WEIGHTS = "weights"
"""The parameter of a trainable segmenter that takes the path ``train`` returned."""


def training_settings(trainer: TrainableSegmenter) -> dict[str, Any]:
    """Return the parameters that decide a training, as JSON values: all but the weights, which may be missing."""
    return {name: value for name, value in trainer.model_dump(mode="json").items() if name != WEIGHTS}


def train_segmenter(
    found: Registered, trainer: TrainableSegmenter, samples: TrainingSamples, folder: Path, seed: int, progress: Progress
) -> Path:
    """Train a segmenter and return the file of weights. Raises CacappError that names the plugin where it fails or writes no file."""
    who = f"segmenter {found.name!r} ({found.origin})"
    try:
        path = Path(trainer.train(samples, folder, seed, progress))
    except CacappError:
        raise
    except (Exception, SystemExit) as error:
        raise CacappError(f"{who}: training failed: {failure(error, type(trainer).__module__)}") from error
    if not path.is_file():
        raise CacappError(f"{who}: train() returned {path}, which is not a file")
    return path.resolve()
