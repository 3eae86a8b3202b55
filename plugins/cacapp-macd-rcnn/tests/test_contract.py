"""The contract suite of cacapp, on the network that was trained here."""

import pytest
from cacapp_macd_rcnn.segmenter import MacdRcnn

from cacapp.testing import SegmenterContract
from cacapp.testing.training_scenes import TrainedWeights


class TestMacdRcnn(SegmenterContract):
    @pytest.fixture(autouse=True)
    def _trained(self, trained: TrainedWeights) -> None:
        type(self).algorithm = MacdRcnn(weights=str(trained.weights), device="cpu")
