"""The contract suite of cacapp, on the network that was trained here."""

import pytest
from cacapp_autosam.segmenter import AutoSam

from cacapp.testing import SegmenterContract
from cacapp.testing.training_scenes import TrainedWeights


class TestAutoSam(SegmenterContract):
    @pytest.fixture(autouse=True)
    def _trained(self, trained: TrainedWeights) -> None:
        type(self).algorithm = AutoSam(weights=str(trained.weights), device="cpu")
