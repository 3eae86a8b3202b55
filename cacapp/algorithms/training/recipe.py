"""Settings of a training, the same for every trainable segmenter of cacapp."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from cacapp.algorithms.training.loop import Schedule
from cacapp.algorithms.training.samples import Sets

FEWEST_CROPS = 160
"""Least number of crops per epoch: each is another view of the same nuclei."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a training.

    Attributes:
        network: name of the network.
        start: file of weights to start from, None for random ones; its digest is ``start_sha256``.
        crops: per epoch; 0: as many as cover the images, at least FEWEST_CROPS.
        crop_px, batch: side of a crop at working scale; crops per step.
        patience: epochs without a better score before it ends; 0: never.
    """

    network: str
    start: Path | None
    start_sha256: str
    epochs: int
    crops: int
    crop_px: int
    batch: int
    learning_rate: float
    patience: int

    def schedule(self, sets: Sets, seed: int) -> Schedule:
        """Return the length and learning rate for these images."""
        covering = math.ceil(sum(one.height_px * one.width_px for one in sets.learn) / self.crop_px**2)
        steps = math.ceil((self.crops or max(FEWEST_CROPS, covering)) / self.batch)
        return Schedule(self.epochs, steps, self.learning_rate, self.patience, seed)

    def key(self, sets: Sets, seed: int) -> str:
        """Return a digest of all that determines the result; a checkpoint with another one is not resumed."""
        decided = {name: str(value) for name, value in asdict(self).items() if name != "start"} | asdict(self.schedule(sets, seed))
        return hashlib.sha256(json.dumps([sets.digest, decided], sort_keys=True).encode()).hexdigest()

    def about(self, model: str, sets: Sets, seed: int) -> dict[str, str]:
        """Return metadata for the weights."""
        return {"model": model, "architecture": self.network, "seed": str(seed), "images": sets.digest, "nuclei": str(sets.nuclei)}
