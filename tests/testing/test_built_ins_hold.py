"""cacapp's own algorithms hold what is asked of anyone's: the same classes a plugin's tests import."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacapp.algorithms.coarse import Coarse
from cacapp.algorithms.dense.segmenter import Dense
from cacapp.algorithms.log import LogDetector
from cacapp.algorithms.maskrcnn.segmenter import MaskRcnn
from cacapp.algorithms.region_growing import RegionGrowing
from cacapp.algorithms.sam.segmenter import AutomaticSam, PromptedSam
from cacapp.algorithms.samaug import SamAug
from cacapp.algorithms.single_cell import SingleCell
from cacapp.algorithms.split_merge import SplitMerge
from cacapp.algorithms.watershed import Watershed
from cacapp.host import Host
from cacapp.readers import examples
from cacapp.readers.built_in import PictureReader, TiffReader, ZarrReader
from cacapp.testing import FilterContract, PrompterContract, ReaderContract, Reference, SegmenterContract, SignalDetectorContract


class TestWatershed(PrompterContract):
    algorithm = Watershed


class TestRegionGrowing(PrompterContract):
    algorithm = RegionGrowing


class TestSplitMerge(PrompterContract):
    algorithm = SplitMerge


class TestSamAug(PrompterContract):
    algorithm = SamAug(method="random")


class TestCoarse(SegmenterContract):
    algorithm = Coarse


@pytest.mark.slow
class TestConsensusOfThree(SegmenterContract):
    algorithm = Host.discover().build("segmenter", "consensus", {"segmenters": ["coarse", "dense", "sam"]})


@pytest.mark.slow
class TestPromptedSam(SegmenterContract):
    algorithm = PromptedSam


@pytest.mark.slow
class TestDense(SegmenterContract):
    algorithm = Dense


@pytest.mark.slow
class TestMaskRcnn(SegmenterContract):
    algorithm = MaskRcnn


class TestSingleCell(FilterContract):
    algorithm = SingleCell


class TestLogDetector(SignalDetectorContract):
    algorithm = LogDetector


class TestTiff(ReaderContract):
    algorithm = TiffReader

    def references(self, folder: Path) -> list[Reference]:
        return [Reference(examples.write_tiff(folder), 1, examples.CHANNELS, (0.2, 0.2), pixels=examples.example_pixels())]


@pytest.mark.slow
class TestZarr(ReaderContract):
    algorithm = ZarrReader

    def references(self, folder: Path) -> list[Reference]:
        return [Reference(examples.write_zarr(folder), 1, examples.CHANNELS, (0.2, 0.2), pixels=examples.example_pixels())]


@pytest.mark.slow
class TestPicture(ReaderContract):
    algorithm = PictureReader

    def references(self, folder: Path) -> list[Reference]:
        return [Reference(examples.write_picture(folder), 1, ("",), pixels=examples.example_pixels()[:1])]


HERE = [value for name, value in list(globals().items()) if name.startswith("Test")]
TOO_SLOW = {AutomaticSam}
"""Takes minutes for an image without prompts; it shares its model, tiles and results with PromptedSam."""


ELSEWHERE = {"aicsimageio"}
"""Its formats need packages that cacapp does not: tests/readers/test_makers.py."""


def test_every_built_in_is_here() -> None:
    mine = {cls if isinstance(cls, type) else type(cls) for cls in (test.algorithm for test in HERE)}
    built_in = {r.cls for r in Host.discover().algorithms() if r.distribution == "cacapp" and r.name not in ELSEWHERE}
    assert built_in - TOO_SLOW == mine
