"""How segmenter ``maskrcnn`` learns: crops of pseudo-labelled images, torchvision's losses, AP@0.5 on what was held back."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from cacapp.algorithms.maskrcnn.detect import detect, instances_of
from cacapp.algorithms.maskrcnn.network import NUCLEUS_PX, Backbone, build
from cacapp.algorithms.maskrcnn.start import start_from
from cacapp.algorithms.maskrcnn.targets import target_of
from cacapp.algorithms.sam.tiled import ScaledFrame
from cacapp.algorithms.training.crops import Crops, held_crops
from cacapp.algorithms.training.judge import average_precision
from cacapp.algorithms.training.loop import Lesson, Schedule, fit
from cacapp.algorithms.training.parallel import losses_on_gpus
from cacapp.algorithms.training.samples import Sets, prepare
from cacapp.api import TrainingProgress, TrainingSamples
from cacapp.types import Array, Instance

SCORE = "AP@0.5"
MIN_SCORE = 0.5
FEWEST_CROPS = 160
"""An epoch has at least as many: each is another view of the same nuclei."""

Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides a training beside its images.

    Attributes:
        backbone: of the network.
        start: file of weights to start from, None for random ones; its digest is ``start_sha256``.
        crops: an epoch; 0: as many as cover the images, FEWEST_CROPS at least.
        crop_px, batch: side of a crop at working scale; crops a step.
    """

    backbone: Backbone
    start: Path | None
    start_sha256: str
    epochs: int
    crops: int
    crop_px: int
    batch: int
    learning_rate: float
    patience: int


def train(samples: TrainingSamples, out: Path, seed: int, progress: TrainingProgress, settings: Settings, device: str) -> Path:
    """Trains and returns the file of the best weights; see ``loop.fit`` for what else ``out`` gets.

    Raises CacappError where no image has an accepted label or a file cannot be written.
    """
    folder = out / "images"
    sets = prepare(samples, folder, NUCLEUS_PX, seed, progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(settings.backbone)
    if settings.start is not None:
        start_from(network, settings.start)
    network.to(device)
    network.to(memory_format=torch.channels_last)
    crops = Crops(sets.learn, settings.crop_px)

    def draw(rng: np.random.Generator) -> Batch:
        images, targets = [], []
        for _ in range(settings.batch):
            image, labels = crops.draw(rng)
            images.append(torch.from_numpy(image)[None].float() / 255)
            targets.append(target_of(labels))
        return images, targets

    steps = math.ceil((settings.crops or _crops_an_epoch(sets, settings.crop_px)) / settings.batch)
    schedule = Schedule(settings.epochs, steps, settings.learning_rate, settings.patience, seed)
    about = {"model": "maskrcnn", "architecture": settings.backbone, "seed": str(seed), "images": sets.digest, "nuclei": str(sets.nuclei)}
    lesson = Lesson(network, draw, _losses(device), _judge(sets, settings.crop_px, seed), SCORE, about, _key(sets, settings, schedule))
    weights = fit(lesson, schedule, device, out, progress)
    shutil.rmtree(folder, ignore_errors=True)  # they can be made again
    return weights


def _crops_an_epoch(sets: Sets, side_px: int) -> int:
    return max(FEWEST_CROPS, math.ceil(sum(one.height_px * one.width_px for one in sets.learn) / side_px**2))


def _key(sets: Sets, settings: Settings, schedule: Schedule) -> str:
    decided = {name: str(value) for name, value in asdict(settings).items() if name != "start"} | asdict(schedule)
    return hashlib.sha256(json.dumps([sets.digest, decided], sort_keys=True).encode()).hexdigest()


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
