"""The contract suite of cacapp, on the network that was taught here."""

import pytest
from cacapp_autosam.segmenter import AutoSam

from cacapp.testing import SegmenterContract
from cacapp.testing.training_scenes import Taught


class TestAutoSam(SegmenterContract):
    @pytest.fixture(autouse=True)
    def _taught(self, taught: Taught) -> None:
        type(self).algorithm = AutoSam(weights=str(taught.weights), device="cpu")
