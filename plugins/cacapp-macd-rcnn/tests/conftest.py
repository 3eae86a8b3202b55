"""A MACD R-CNN that was taught for less than a minute, from the weights of maskrcnn, on simulated nuclei."""

from __future__ import annotations

import json

import pytest
from cacapp_macd_rcnn.segmenter import MacdRcnn

from cacapp.testing.training_scenes import Frame, Taught, Told, simulated
from cacapp.types import TrainingSample


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(scope="session")
def unseen() -> Frame:
    """A frame that taught nobody."""
    return simulated(8)


@pytest.fixture(scope="session")
def samples() -> list[TrainingSample]:
    return [TrainingSample(frame.dapi, frame.labels) for frame in map(simulated, range(3))]


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory, samples: list[TrainingSample]) -> Taught:
    out = tmp_path_factory.mktemp("macd")
    pupil = MacdRcnn(epochs=1, crops=80, crop_px=160, batch=4, edges=True, learning_rate=1e-3, device="cpu")
    weights = pupil.train(samples, out, 1, Told())
    return Taught(weights, [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()])
