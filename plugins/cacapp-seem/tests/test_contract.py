"""The contract suite of cacapp, on the stand-in."""

import pytest
from cacapp_seem.segmenter import Seem

from cacapp.testing import SegmenterContract


class TestSeem(SegmenterContract):
    @pytest.fixture(autouse=True)
    def _served(self, seem: Seem) -> None:
        type(self).algorithm = seem
