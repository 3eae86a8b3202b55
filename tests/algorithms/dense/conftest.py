"""A per-pixel network that was trained for a few seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from cacapp.algorithms.dense.segmenter import Dense
from cacapp.types import TrainingSample


class Silent:
    def start(self, what: str, total: int) -> None:
        return None

    def advance(self, note: str = "", by: int = 1) -> None:
        return None

    def warn(self, line: str) -> None:
        return None


@dataclass(frozen=True)
class Taught:
    """The file of weights, and what the training wrote an epoch."""

    weights: Path
    log: list[dict[str, float]]


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory, simulated_samples: list[TrainingSample]) -> Taught:
    """The network after 80 steps on three simulated frames, from the encoder of nuclei_t."""
    out = tmp_path_factory.mktemp("dense")
    trainable = Dense(epochs=5, crops=64, crop_px=128, batch=4, start="nuclei_t", learning_rate=2e-3, min_score=0.6, device="cpu")
    weights = trainable.train(simulated_samples, out, 3, Silent())
    return Taught(weights, [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()])
