"""The contract suite of cacapp, on the network that was trained here."""

import pytest
from cacapp_stardist.segmenter import StarDist

from cacapp.testing import SegmenterContract
from cacapp.testing.training_scenes import TrainedWeights


class TestStarDist(SegmenterContract):
    @pytest.fixture(autouse=True)
    def _trained(self, trained: TrainedWeights) -> None:
        type(self).algorithm = StarDist(weights=str(trained.weights), device="cpu")
