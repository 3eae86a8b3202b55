"""Training of segmenter ``dense``: crops of pseudo-labelled images, per-pixel losses, AP@0.5 on validation images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cacapp.algorithms.dense.network import NUCLEUS_PX, DenseNetwork
from cacapp.algorithms.dense.targets import losses_of, targets_of
from cacapp.algorithms.training.crop_training import Crops, TrainableNetwork, train_on_crops
from cacapp.algorithms.training.recipe import Recipe
from cacapp.algorithms.training.start import start_from
from cacapp.api import TrainingProgress, TrainingSamples
from cacapp.types import Array, Instance

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
    """Train and return the file of the best weights; see ``train_on_crops``.

    Args:
        segment: returns instances of a (Y, X) image at working scale, for validation.

    Raises CacappError if no image has an accepted label or a file cannot be written.
    """

    def build() -> DenseNetwork:
        return DenseNetwork().to(memory_format=torch.channels_last)

    def batch(drawn: Crops, _: np.random.Generator) -> Batch:
        images = torch.from_numpy(np.stack([image for image, _ in drawn])[:, None])
        return images, torch.from_numpy(np.stack([targets_of(labels.astype(np.int64)) for _, labels in drawn]))

    def losses(learning: nn.Module, batch: Batch) -> dict[str, Tensor]:
        images = batch[0].to(device).float().div(255).to(memory_format=torch.channels_last)
        return losses_of(learning(images).float(), batch[1].to(device))

    trainable = TrainableNetwork("dense", NUCLEUS_PX, build, partial(start_from, ours="dense"), batch, losses, segment)
    return train_on_crops(trainable, samples, out, seed, progress, recipe, device)
