"""The contract suite of cacapp, on the network that was taught here."""

import pytest
from cacapp_cellpose.segmenter import Cellpose

from cacapp.testing import SegmenterContract
from cacapp.testing.training_scenes import Taught


class TestCellpose(SegmenterContract):
    @pytest.fixture(autouse=True)
    def _taught(self, taught: Taught) -> None:
        type(self).algorithm = Cellpose(weights=str(taught.weights), device="cpu")
