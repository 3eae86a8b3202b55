"""How segmenter ``dense`` learns: crops of pseudo-labelled images, per-pixel losses, AP@0.5 on what was held back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cacapp.algorithms.dense.network import NUCLEUS_PX, DenseNetwork
from cacapp.algorithms.dense.targets import losses_of, targets_of
from cacapp.algorithms.training.crops import Crops, held_crops
from cacapp.algorithms.training.judge import average_precision
from cacapp.algorithms.training.loop import Lesson, fit
from cacapp.algorithms.training.recipe import Recipe
from cacapp.algorithms.training.samples import prepare
from cacapp.algorithms.training.start import start_from
from cacapp.api import TrainingProgress, TrainingSamples
from cacapp.types import Array, Instance

SCORE = "AP@0.5"

Batch = tuple[Tensor, Tensor]


def train(
    samples: TrainingSamples,
    out: Path,
    seed: int,
    progress: TrainingProgress,
    recipe: Recipe,
    device: str,
    segment: Callable[[Array, DenseNetwork], list[Instance]],
) -> Path:
    """Trains and returns the file of the best weights; see ``loop.fit`` for what else ``out`` gets.

    Args:
        segment: instances of a (Y, X) image at working scale, for validation.

    Raises CacappError where no image has an accepted label or a file cannot be written.
    """
    folder = out / "images"
    sets = prepare(samples, folder, NUCLEUS_PX, seed, progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DenseNetwork()
    if recipe.start is not None:
        start_from(network, recipe.start, "dense")
    network.to(device)
    network.to(memory_format=torch.channels_last)
    crops = Crops(sets.learn, recipe.crop_px)

    def draw(rng: np.random.Generator) -> Batch:
        drawn = [crops.draw(rng) for _ in range(recipe.batch)]
        images = torch.from_numpy(np.stack([image for image, _ in drawn])[:, None])
        return images, torch.from_numpy(np.stack([targets_of(labels.astype(np.int64)) for _, labels in drawn]))

    def losses(learning: nn.Module, batch: Batch) -> dict[str, Tensor]:
        images = batch[0].to(device).float().div(255).to(memory_format=torch.channels_last)
        return losses_of(learning(images).float(), batch[1].to(device))

    held = held_crops(sets.held, 2 * recipe.crop_px, min(16, max(4, 2 * len(sets.held))), np.random.default_rng([abs(seed), 3]))

    def score(judged: nn.Module) -> float:
        assert isinstance(judged, DenseNetwork)
        return float(np.mean([average_precision(segment(image, judged), labels) for image, labels in held]))

    lesson = Lesson(network, draw, losses, score, SCORE, recipe.about("dense", sets, seed), recipe.key(sets, seed))
    weights = fit(lesson, recipe.schedule(sets, seed), device, out, progress)
    shutil.rmtree(folder, ignore_errors=True)  # they can be made again
    return weights
