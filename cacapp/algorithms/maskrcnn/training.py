"""How segmenter ``maskrcnn`` learns: crops of pseudo-labelled images, torchvision's losses, AP@0.5 on what was held back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from cacapp.algorithms.maskrcnn.detect import detect, instances_of
from cacapp.algorithms.maskrcnn.network import NUCLEUS_PX
from cacapp.algorithms.maskrcnn.targets import target_of
from cacapp.algorithms.sam.tiled import ScaledFrame
from cacapp.algorithms.training.crops import Crops, held_crops
from cacapp.algorithms.training.judge import average_precision
from cacapp.algorithms.training.loop import Lesson, fit
from cacapp.algorithms.training.parallel import losses_on_gpus
from cacapp.algorithms.training.recipe import Recipe
from cacapp.algorithms.training.samples import Sets, prepare
from cacapp.algorithms.training.start import start_from
from cacapp.api import TrainingProgress, TrainingSamples
from cacapp.types import Array, Instance

SCORE = "AP@0.5"
MIN_SCORE = 0.5

Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


def train(
    samples: TrainingSamples,
    out: Path,
    seed: int,
    progress: TrainingProgress,
    recipe: Recipe,
    build: Callable[[], GeneralizedRCNN],
    device: str,
    model: str = "maskrcnn",
) -> Path:
    """Trains and returns the file of the best weights; see ``loop.fit`` for what else ``out`` gets.

    Args:
        build: gives the network with random weights.
        model: the segmenter's name, for the weights' metadata.

    Raises CacappError where no image has an accepted label or a file cannot be written.
    """
    folder = out / "images"
    sets = prepare(samples, folder, NUCLEUS_PX, seed, progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build()
    if recipe.start is not None:
        start_from(network, recipe.start, "maskrcnn")
    network.to(device)
    network.to(memory_format=torch.channels_last)
    crops = Crops(sets.learn, recipe.crop_px)

    def draw(rng: np.random.Generator) -> Batch:
        images, targets = [], []
        for _ in range(recipe.batch):
            image, labels = crops.draw(rng)
            images.append(torch.from_numpy(image)[None].float() / 255)
            targets.append(target_of(labels))
        return images, targets

    judge = _judge(sets, recipe.crop_px, seed)
    lesson = Lesson(network, draw, _losses(device), judge, SCORE, recipe.about(model, sets, seed), recipe.key(sets, seed))
    weights = fit(lesson, recipe.schedule(sets, seed), device, out, progress)
    shutil.rmtree(folder, ignore_errors=True)  # they can be made again
    return weights


def _losses(device: str) -> Callable[[nn.Module, Batch], dict[str, Tensor]]:
    several = device == "cuda" and torch.cuda.device_count() > 1

    def losses(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        images, targets = batch
        if several:
            return losses_on_gpus(network, images, targets)
        there = [{k: v.to(device) for k, v in target.items()} for target in targets]
        found: dict[str, Tensor] = network([image.to(device) for image in images], there)
        return found

    return losses


def _judge(sets: Sets, crop_px: int, seed: int) -> Callable[[nn.Module], float]:
    """Mean AP@0.5 over crops of the held images, the same each time."""
    held = held_crops(sets.held, 2 * crop_px, min(16, max(4, 2 * len(sets.held))), np.random.default_rng([abs(seed), 3]))

    def score(network: nn.Module) -> float:
        return float(np.mean([average_precision(_found(network, image), labels) for image, labels in held]))

    return score


def _found(network: nn.Module, image: Array) -> list[Instance]:
    assert isinstance(network, GeneralizedRCNN)
    frame = ScaledFrame(image.astype(np.float32), 1.0, *image.shape)
    return instances_of(detect(network, frame.image, 2048, MIN_SCORE), frame)
