"""The contract suite of cacapp, on the network that was trained here."""

import pytest
from cacapp_cellpose.segmenter import Cellpose

from cacapp.testing import SegmenterContract
from cacapp.testing.training_scenes import TrainedWeights


class TestCellpose(SegmenterContract):
    @pytest.fixture(autouse=True)
    def _trained(self, trained: TrainedWeights) -> None:
        type(self).algorithm = Cellpose(weights=str(trained.weights), device="cpu")
