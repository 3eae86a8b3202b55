"""Segmenter ``example-segmenter``: the contract of all segmenters, and tests of this one."""

from __future__ import annotations

from cacapp import Prompts
from cacapp.testing import SegmenterContract
from cacapp.testing.scenes import drawn

from cacapp_example.segmenter import ExampleSegmenter


class TestExampleSegmenter(SegmenterContract):
    algorithm = ExampleSegmenter


def test_an_object_smaller_than_a_nucleus_is_not_segmented() -> None:
    scene = drawn("a nucleus and a speck", (160, 200), [(80, 60)])
    image = scene.image.copy()
    image[78:83, 150:155] = 3000
    assert len(ExampleSegmenter().segment(image, Prompts.empty(), scene.pixel_size_um)) == 1
    assert len(ExampleSegmenter(min_diameter_um=0.5).segment(image, Prompts.empty(), scene.pixel_size_um)) == 2
