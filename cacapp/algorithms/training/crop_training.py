"""A network that learns nuclei from crops of labelled images: what every trainable segmenter of cacapp does alike."""

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
from cacapp.algorithms.training.loop import Lesson, fit
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
class Pupil(Generic[Batch]):
    """A network, and how it learns.

    Attributes:
        model: the segmenter's name, for the weights' metadata; ``about``: what else goes there.
        nucleus_px: diameter of a nucleus at the network's scale, px.
        build: gives the network with random weights.
        begin: takes weights to start from out of a file.
        batch: of a step, from its crops; on the CPU.
        losses: the network's losses for a batch, by name; their sum is minimised.
        segment: instances that the network, in eval mode, finds in a (Y, X) image at its scale.
        most_held: crops of the images held back that it is judged on after an epoch, at most.
    """

    model: str
    nucleus_px: float
    build: Callable[[], nn.Module]
    begin: Callable[[nn.Module, Path], object]
    batch: Callable[[Crops, np.random.Generator], Batch]
    losses: Callable[[nn.Module, Batch], Mapping[str, Tensor]]
    segment: Callable[[Array, Any], list[Instance]]
    about: Mapping[str, str] = field(default_factory=dict)
    most_held: int = 16


def teach(
    pupil: Pupil[Batch], samples: TrainingSamples, out: Path, seed: int, progress: TrainingProgress, recipe: Recipe, device: str
) -> Path:
    """Trains and returns the file of the best weights by mean AP@0.5 on images held back; see ``loop.fit`` for what else ``out`` gets.

    Raises CacappError where no image has an accepted label or a file cannot be written.
    """
    folder = out / "images"
    sets = prepare(samples, folder, pupil.nucleus_px, seed, progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = pupil.build()
    if recipe.start is not None:
        pupil.begin(network, recipe.start)
    network.to(device)
    drawn = crops.Crops(sets.learn, recipe.crop_px)

    def draw(rng: np.random.Generator) -> Batch:
        return pupil.batch([drawn.draw(rng) for _ in range(recipe.batch)], rng)

    most = min(pupil.most_held, max(4, 2 * len(sets.held)))
    held = crops.held_crops(sets.held, 2 * recipe.crop_px, most, np.random.default_rng([abs(seed), 3]))

    def score(judged: nn.Module) -> float:
        return float(np.mean([average_precision(pupil.segment(image, judged), labels) for image, labels in held]))

    about = {**recipe.about(pupil.model, sets, seed), **pupil.about}
    lesson = Lesson(network, draw, pupil.losses, score, SCORE, about, recipe.key(sets, seed))
    weights = fit(lesson, recipe.schedule(sets, seed), device, out, progress)
    shutil.rmtree(folder, ignore_errors=True)  # they can be made again
    return weights
