"""The contract suite of cacapp, on the network that was taught here."""

import pytest
from cacapp_macd_rcnn.segmenter import MacdRcnn

from cacapp.testing import SegmenterContract
from cacapp.testing.training_scenes import Taught


class TestMacdRcnn(SegmenterContract):
    @pytest.fixture(autouse=True)
    def _taught(self, taught: Taught) -> None:
        type(self).algorithm = MacdRcnn(weights=str(taught.weights), device="cpu")
