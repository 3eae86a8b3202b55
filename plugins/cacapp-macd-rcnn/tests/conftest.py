"""A MACD R-CNN that was trained for less than a minute, from the weights of maskrcnn, on simulated nuclei."""

from __future__ import annotations

import json

import pytest
from cacapp_macd_rcnn.segmenter import MacdRcnn

from cacapp.testing.training_scenes import Frame, RecordedProgress, TrainedWeights, simulated
from cacapp.types import TrainingSample


@pytest.fixture
def progress() -> RecordedProgress:
    return RecordedProgress()


@pytest.fixture(scope="session")
def unseen() -> Frame:
    """A frame that was not used for training."""
    return simulated(8)


@pytest.fixture(scope="session")
def samples() -> list[TrainingSample]:
    return [TrainingSample(frame.dapi, frame.labels) for frame in map(simulated, range(3))]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, samples: list[TrainingSample]) -> TrainedWeights:
    out = tmp_path_factory.mktemp("macd")
    trainable = MacdRcnn(epochs=1, crops=80, crop_px=160, batch=4, edges=True, learning_rate=1e-3, device="cpu")
    weights = trainable.train(samples, out, 1, RecordedProgress())
    return TrainedWeights(weights, [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()])
