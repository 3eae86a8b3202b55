"""The contract suite of cacapp, on the network that was taught here."""

import pytest
from cacapp_autosam.segmenter import AutoSam
from classroom import Taught

from cacapp.testing import SegmenterContract


class TestAutoSam(SegmenterContract):
    @pytest.fixture(autouse=True)
    def _taught(self, taught: Taught) -> None:
        type(self).algorithm = AutoSam(weights=str(taught.weights), device="cpu")
