"""Training of segmenter ``maskrcnn``: crops of pseudo-labelled images, torchvision's losses, AP@0.5 on validation images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from cacapp.algorithms.maskrcnn.detect import detect, instances_of
from cacapp.algorithms.maskrcnn.network import NUCLEUS_PX
from cacapp.algorithms.maskrcnn.targets import target_of
from cacapp.algorithms.sam.tiled import ScaledFrame
from cacapp.algorithms.training.crop_training import Crops, TrainableNetwork, train_on_crops
from cacapp.algorithms.training.parallel import losses_on_gpus
from cacapp.algorithms.training.recipe import Recipe
from cacapp.algorithms.training.start import start_from
from cacapp.api import TrainingProgress, TrainingSamples
from cacapp.types import Array, Instance

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
    """Train and return the file of the best weights; see ``train_on_crops``.

    Args:
        build: returns the network with random weights.
        model: the segmenter's name, for the weights' metadata.

    Raises CacappError if no image has an accepted label or a file cannot be written.
    """

    def network() -> GeneralizedRCNN:
        made = build()
        made.to(memory_format=torch.channels_last)
        return made

    begin = partial(start_from, ours="maskrcnn")
    trainable = TrainableNetwork(model, NUCLEUS_PX, network, begin, _batch, _losses(device), _found)
    return train_on_crops(trainable, samples, out, seed, progress, recipe, device)


def _batch(drawn: Crops, _: np.random.Generator) -> Batch:
    images = [torch.from_numpy(image)[None].float() / 255 for image, _ in drawn]
    return images, [target_of(labels) for _, labels in drawn]


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


def _found(image: Array, network: nn.Module) -> list[Instance]:
    assert isinstance(network, GeneralizedRCNN)
    frame = ScaledFrame(image.astype(np.float32), 1.0, *image.shape)
    return instances_of(detect(network, frame.image, 2048, MIN_SCORE), frame)
