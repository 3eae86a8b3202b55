"""Training of segmenter ``stardist``: StarDist's targets and losses on crops of pseudo-labelled images, in cacapp's loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from cacapp.algorithms.training.crop_training import Crops, TrainableNetwork, train_on_crops
from cacapp.algorithms.training.recipe import Recipe
from cacapp.api import TrainingProgress, TrainingSamples
from cacapp.types import UNKNOWN, Array, Instance
from cacapp.weights.load import load_into
from cacapp_stardist.compiled import star_distances
from cacapp_stardist.network import GRID, NUCLEUS_PX, RAYS, StarNetwork

DISTANCE_WEIGHT = 0.2
"""Weight of the error of distances in px, as in StarDist."""

Batch = tuple[Tensor, Tensor]


def train(
    samples: TrainingSamples,
    out: Path,
    seed: int,
    progress: TrainingProgress,
    recipe: Recipe,
    device: str,
    segment: Callable[[Array, StarNetwork], list[Instance]],
) -> Path:
    """Train and return the file of the best weights; see ``train_on_crops``.

    Args:
        segment: returns instances of a (Y, X) image at working scale, for validation.

    Raises CacappError if no image has an accepted label or a file cannot be written.
    """

    def batch(drawn: Crops, _: np.random.Generator) -> Batch:
        images = torch.from_numpy(np.stack([image for image, _ in drawn])[:, None])
        return images, torch.from_numpy(np.stack([target_of(labels) for _, labels in drawn]))

    def losses(learning: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits, distances = learning(batch[0].to(device).float().div(255))
        return losses_of(logits.float(), distances.float(), batch[1].to(device))

    trainable = TrainableNetwork("stardist", NUCLEUS_PX, StarNetwork, load_into, batch, losses, segment)
    return train_on_crops(trainable, samples, out, seed, progress, recipe, device)


def target_of(labels: Array) -> Array:
    """Return (2 + RAYS, Y/2, X/2) float32: nearness in 0..1 (see ``nearness``), known pixels, distances in px."""
    cells = np.unique(np.maximum(labels, 0), return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    near = nearness(cells)[::GRID, ::GRID]
    distances = star_distances(cells, RAYS, GRID)
    known = (labels != UNKNOWN)[::GRID, ::GRID]
    return np.asarray(np.concatenate([np.stack([near, known]), distances.transpose(2, 0, 1)]), np.float32)


def nearness(labels: Array) -> Array:
    """Return (Y, X) float32: distance to the outline over the largest in the nucleus, StarDist's definition of probability."""
    result = np.zeros(labels.shape, np.float32)
    for value, place in enumerate(ndimage.find_objects(labels), start=1):
        if place is not None:
            own = np.pad(labels[place] == value, 1)
            depth = ndimage.distance_transform_edt(own)[1:-1, 1:-1]
            result[place] = np.where(own[1:-1, 1:-1], depth / depth.max(), result[place])
    return result


def losses_of(logits: Tensor, distances: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return StarDist's losses: cross entropy of the nearness over known pixels, mean error of the distances weighted with it.

    Args:
        logits: (B, h, w). distances: (B, RAYS, h, w) px. target: (B, 2 + RAYS, h, w), see ``target_of``.
    """
    near, known, true = target[:, 0], target[:, 1], target[:, 2:]
    middle = functional.binary_cross_entropy_with_logits(logits, near, reduction="none")
    error = (distances - true).abs().mean(dim=1)
    return {
        "loss_middle": (middle * known).sum() / known.sum().clamp(min=1),
        "loss_distance": DISTANCE_WEIGHT * (error * near).sum() / near.sum().clamp(min=1),
    }
