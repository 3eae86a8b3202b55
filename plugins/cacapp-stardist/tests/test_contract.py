"""The contract suite of cacapp, on the network that was taught here."""

import pytest
from cacapp_stardist.segmenter import StarDist

from cacapp.testing import SegmenterContract
from cacapp.testing.training_scenes import Taught


class TestStarDist(SegmenterContract):
    @pytest.fixture(autouse=True)
    def _taught(self, taught: Taught) -> None:
        type(self).algorithm = StarDist(weights=str(taught.weights), device="cpu")
