"""Training of segmenter ``cellpose``: Cellpose's flows and losses on crops of pseudo-labelled images, in cacapp's loop.

Cellpose's loop cannot resume after a kill and takes unknown labels as background; cacapp's loop resumes and ignores unknown labels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from cellpose.dynamics import masks_to_flows
from cellpose.models import CellposeModel
from torch import Tensor, nn
from torch.nn import functional

from cacapp.algorithms.training.crop_training import Crops, TrainableNetwork, train_on_crops
from cacapp.algorithms.training.recipe import Recipe
from cacapp.api import TrainingProgress, TrainingSamples
from cacapp.types import UNKNOWN, Array, Instance
from cacapp_cellpose.network import build, start_from

FLOW = 5.0
"""Length of the flows of Cellpose's network."""

Batch = tuple[Tensor, Tensor]
Segment = Callable[[Array, CellposeModel, float], list[Instance]]


def train(
    samples: TrainingSamples,
    out: Path,
    seed: int,
    progress: TrainingProgress,
    recipe: Recipe,
    nucleus_px: float,
    device: str,
    segment: Segment,
) -> Path:
    """Train and return the file of the best weights; see ``train_on_crops``.

    Args:
        nucleus_px: diameter of a nucleus at the network's scale.
        segment: returns instances of a (Y, X) image from a model and the diameter of the nuclei.

    Raises CacappError if no image has an accepted label or a file cannot be written.
    """
    judge = CellposeModel(pretrained_model=False, mkldnn=False, diam_mean=nucleus_px, device=torch.device(device))

    def random() -> nn.Module:
        return for_diameter(build(nucleus_px), nucleus_px)

    def begin(network: nn.Module, path: Path) -> None:
        start_from(network, path, nucleus_px)
        for_diameter(network, nucleus_px)

    def batch(drawn: Crops, _: np.random.Generator) -> Batch:
        images = np.stack([normalised(image) for image, _ in drawn])
        return torch.from_numpy(images), torch.from_numpy(np.stack([target_of(labels) for _, labels in drawn]))

    def losses(learning: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return losses_of(learning(batch[0].to(device))[0].float(), batch[1].to(device))

    def found(image: Array, network: nn.Module) -> list[Instance]:
        judge.net.load_state_dict(network.state_dict())
        judge.net.eval()
        return segment(image, judge, nucleus_px)

    trainable = TrainableNetwork("cellpose", nucleus_px, random, begin, batch, losses, found, max_validation_crops=12)
    return train_on_crops(trainable, samples, out, seed, progress, recipe, device)


def for_diameter(network: nn.Module, nucleus_px: float) -> nn.Module:
    """Set the nuclear diameter of the training images, px, in the network, and return it."""
    with torch.no_grad():
        network.diam_labels.fill_(nucleus_px)  # type: ignore[operator, union-attr]
    return network


def normalised(image: Array) -> Array:
    """Normalise a (Y, X) plane to (2, Y, X) float32: 1st percentile at 0, 99th at 1, as in Cellpose, and an empty channel."""
    low, high = np.percentile(image, (1, 99))
    grey = (image.astype(np.float32) - low) / max(float(high - low), 1.0)
    return np.asarray(np.stack([grey, np.zeros_like(grey)]), np.float32)


def target_of(labels: Array) -> Array:
    """Return (4, Y, X) float32: cell, flow (y, x) of length 1 inside cells, known pixels."""
    cells = np.unique(np.maximum(labels, 0), return_inverse=True)[1].reshape(labels.shape)  # 0 in the background
    flow = masks_to_flows(cells) if cells.any() else np.zeros((2, *cells.shape))
    return np.asarray(np.stack([cells > 0, *flow, labels != UNKNOWN]), np.float32)


def losses_of(output: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return Cellpose's losses over known pixels: half the squared error of the flow, and the cross entropy of the cell logit.

    Args:
        output: (B, 3, Y, X), flow (y, x) and logit of a cell. target: (B, 4, Y, X), see ``target_of``.
    """
    known = target[:, 3]
    count = known.sum().clamp(min=1)
    flow = ((output[:, :2] - FLOW * target[:, 1:3]) ** 2).mean(dim=1)
    cell = functional.binary_cross_entropy_with_logits(output[:, 2], target[:, 0], reduction="none")
    return {"loss_flow": (flow * known).sum() / count / 2, "loss_cell": (cell * known).sum() / count}
