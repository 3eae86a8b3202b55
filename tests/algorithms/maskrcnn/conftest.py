"""A network that was taught for a few seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cacapp.algorithms.maskrcnn.segmenter import MaskRcnn
from cacapp.simulation import SlideModel, simulate_frame
from cacapp.types import TrainingSample


class Silent:
    def start(self, what: str, total: int) -> None:
        return None

    def advance(self, note: str = "", by: int = 1) -> None:
        return None

    def warn(self, line: str) -> None:
        return None


def simulated(seed: int, shape: tuple[int, int] = (420, 440), nuclei: int = 16) -> TrainingSample:
    frame = simulate_frame(SlideModel(), np.random.default_rng(seed), *shape, nuclei)
    return TrainingSample(frame.planes[0], frame.labels.astype(np.int32), None)


@dataclass(frozen=True)
class Taught:
    """The file of weights, and what the training wrote an epoch."""

    weights: Path
    log: list[dict[str, float]]


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    """The light network after 24 steps on three simulated frames, from the encoder of nuclei_t."""
    out = tmp_path_factory.mktemp("maskrcnn")
    pupil = MaskRcnn(epochs=3, crops=32, crop_px=128, batch=4, start="nuclei_t", learning_rate=2e-3, device="cpu")
    weights = pupil.train([simulated(seed) for seed in range(3)], out, 3, Silent())
    return Taught(weights, [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()])
