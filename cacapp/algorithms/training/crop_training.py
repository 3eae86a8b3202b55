"""Training of a network on crops of labelled images, common to all trainable segmenters."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from cacapp.algorithms.training import crops
from cacapp.algorithms.training.loop import TrainingTask, fit
from cacapp.algorithms.training.recipe import Recipe
from cacapp.algorithms.training.samples import prepare
from cacapp.algorithms.training.validation import average_precision
from cacapp.api import TrainingProgress, TrainingSamples
from cacapp.types import Array, Instance

Batch = TypeVar("Batch")
Crops = Sequence[tuple[Array, Array]]
"""(Y, X) uint8 images and their (Y, X) labels."""

SCORE = "AP@0.5"


@dataclass(frozen=True, slots=True)
class TrainableNetwork(Generic[Batch]):
    """Network and the functions to train it.

    Attributes:
        model: the segmenter's name, for the weights' metadata; ``about``: further metadata.
        nucleus_px: diameter of a nucleus at the network's scale, px.
        build: returns the network with random weights.
        begin: loads the weights to start from.
        batch: returns the batch of a step from its crops; on the CPU.
        losses: returns the losses for a batch by name; their sum is minimised.
        segment: instances that the network, in eval mode, finds in a (Y, X) image at its scale.
        max_validation_crops: largest number of crops of validation images that are scored after each epoch.
    """

    model: str
    nucleus_px: float
    build: Callable[[], nn.Module]
    begin: Callable[[nn.Module, Path], object]
    batch: Callable[[Crops, np.random.Generator], Batch]
    losses: Callable[[nn.Module, Batch], Mapping[str, Tensor]]
    segment: Callable[[Array, Any], list[Instance]]
    about: Mapping[str, str] = field(default_factory=dict)
    max_validation_crops: int = 16


def train_on_crops(
    trainable: TrainableNetwork[Batch],
    samples: TrainingSamples,
    out: Path,
    seed: int,
    progress: TrainingProgress,
    recipe: Recipe,
    device: str,
) -> Path:
    """Train, and return the file of the best weights by mean AP@0.5 on validation images; see ``loop.fit`` for the other files in ``out``.

    Raises CacappError if no image has an accepted label or a file cannot be written.
    """
    folder = out / "images"
    sets = prepare(samples, folder, trainable.nucleus_px, seed, progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = trainable.build()
    if recipe.start is not None:
        trainable.begin(network, recipe.start)
    network.to(device)
    drawn = crops.Crops(sets.learn, recipe.crop_px)

    def draw(rng: np.random.Generator) -> Batch:
        return trainable.batch([drawn.draw(rng) for _ in range(recipe.batch)], rng)

    most = min(trainable.max_validation_crops, max(4, 2 * len(sets.validation)))
    validation = crops.validation_crops(sets.validation, 2 * recipe.crop_px, most, np.random.default_rng([abs(seed), 3]))

    def score(judged: nn.Module) -> float:
        return float(np.mean([average_precision(trainable.segment(image, judged), labels) for image, labels in validation]))

    about = {**recipe.about(trainable.model, sets, seed), **trainable.about}
    task = TrainingTask(network, draw, trainable.losses, score, SCORE, about, recipe.key(sets, seed))
    weights = fit(task, recipe.schedule(sets, seed), device, out, progress)
    shutil.rmtree(folder, ignore_errors=True)  # they can be computed again
    return weights
