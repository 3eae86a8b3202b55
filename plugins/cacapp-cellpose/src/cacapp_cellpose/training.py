"""How segmenter ``cellpose`` learns: Cellpose's flows and losses on crops of pseudo-labelled images, in cacapp's loop.

Cellpose's own loop cannot go on after a kill and learns background where labels are unknown; cacapp's does neither.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from cellpose.dynamics import masks_to_flows
from cellpose.models import CellposeModel
from torch import Tensor, nn
from torch.nn import functional

from cacapp.algorithms.training.crops import Crops, held_crops
from cacapp.algorithms.training.judge import average_precision
from cacapp.algorithms.training.loop import Lesson, fit
from cacapp.algorithms.training.recipe import Recipe
from cacapp.algorithms.training.samples import prepare
from cacapp.api import TrainingProgress, TrainingSamples
from cacapp.types import UNKNOWN, Array, Instance
from cacapp_cellpose.network import build, start_from

SCORE = "AP@0.5"
FLOW = 5.0
"""Cellpose's network gives flows of this length."""

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
    """Trains and returns the file of the best weights; see ``loop.fit`` for what else ``out`` gets.

    Args:
        nucleus_px: diameter of a nucleus at the network's scale.
        segment: instances of a (Y, X) image with a model, given the diameter of its nuclei.

    Raises CacappError where no image has an accepted label or a file cannot be written.
    """
    folder = out / "images"
    sets = prepare(samples, folder, nucleus_px, seed, progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(nucleus_px)
    if recipe.start is not None:
        start_from(network, recipe.start, nucleus_px)
    with torch.no_grad():
        network.diam_labels.fill_(nucleus_px)
    network.to(device)
    crops = Crops(sets.learn, recipe.crop_px)

    def draw(rng: np.random.Generator) -> Batch:
        drawn = [crops.draw(rng) for _ in range(recipe.batch)]
        images = np.stack([normalised(image) for image, _ in drawn])
        return torch.from_numpy(images), torch.from_numpy(np.stack([target_of(labels) for _, labels in drawn]))

    def losses(learning: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return losses_of(learning(batch[0].to(device))[0].float(), batch[1].to(device))

    held = held_crops(sets.held, 2 * recipe.crop_px, min(12, max(4, 2 * len(sets.held))), np.random.default_rng([abs(seed), 3]))
    judged = CellposeModel(pretrained_model=False, mkldnn=False, diam_mean=nucleus_px, device=torch.device(device))

    def score(network: nn.Module) -> float:
        judged.net.load_state_dict(network.state_dict())
        judged.net.eval()
        return float(np.mean([average_precision(segment(image, judged, nucleus_px), labels) for image, labels in held]))

    lesson = Lesson(network, draw, losses, score, SCORE, recipe.about("cellpose", sets, seed), recipe.key(sets, seed))
    weights = fit(lesson, recipe.schedule(sets, seed), device, out, progress)
    shutil.rmtree(folder, ignore_errors=True)  # they can be made again
    return weights


def normalised(image: Array) -> Array:
    """(2, Y, X) float32 of a (Y, X) plane: its 1st percentile at 0 and its 99th at 1, as Cellpose does, and an empty channel."""
    low, high = np.percentile(image, (1, 99))
    grey = (image.astype(np.float32) - low) / max(float(high - low), 1.0)
    return np.asarray(np.stack([grey, np.zeros_like(grey)]), np.float32)


def target_of(labels: Array) -> Array:
    """(4, Y, X) float32: is it a cell, flow (y, x) of length 1 inside cells, is it known."""
    cells = np.unique(np.maximum(labels, 0), return_inverse=True)[1].reshape(labels.shape)  # 0 where there is background
    flow = masks_to_flows(cells) if cells.any() else np.zeros((2, *cells.shape))
    return np.asarray(np.stack([cells > 0, *flow, labels != UNKNOWN]), np.float32)


def losses_of(output: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Cellpose's losses, over known pixels: squared error of the flow, halved, and cross entropy of being a cell.

    Args:
        output: (B, 3, Y, X), flow (y, x) and logit of a cell. target: (B, 4, Y, X), see ``target_of``.
    """
    known = target[:, 3]
    count = known.sum().clamp(min=1)
    flow = ((output[:, :2] - FLOW * target[:, 1:3]) ** 2).mean(dim=1)
    cell = functional.binary_cross_entropy_with_logits(output[:, 2], target[:, 0], reduction="none")
    return {"loss_flow": (flow * known).sum() / count / 2, "loss_cell": (cell * known).sum() / count}
