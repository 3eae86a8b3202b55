"""Segmenters ``sam`` and ``sam-auto`` with the embedded weights, on simulated nuclei."""

import numpy as np
import pytest

from cacapp.algorithms.sam.models import NUCLEUS_PX, load_sam
from cacapp.algorithms.sam.segmenter import AutomaticSam, PromptedSam, typical_diameter_px
from cacapp.algorithms.sam.tiled import masks_of, scaled_frame
from cacapp.algorithms.watershed import Watershed
from cacapp.arrays.tiles import TileGrid
from cacapp.simulation import SlideModel, simulate_frame
from cacapp.types import Array, Instance, Prompts, label_image
from cacapp.weights.cache import locate


@pytest.fixture(scope="module")
def slide() -> tuple[Array, Array, Prompts]:
    frame = simulate_frame(SlideModel(), np.random.default_rng(3), 620, 700, 24)
    return frame.planes[0], frame.labels, Watershed().prompt(frame.planes[0], None)


def found_share(truth: Array, instances: list[Instance]) -> float:
    painted = label_image(instances, *truth.shape)
    hits = 0
    for label in range(1, int(truth.max()) + 1):
        mask = truth == label
        other = np.bincount(painted[mask], minlength=2)[1:]
        best = int(other.argmax()) + 1
        hits += other.max(initial=0) / (mask | (painted == best)).sum() >= 0.5
    return hits / truth.max()


def test_simulated_nuclei_are_found_with_watershed_prompts(slide: tuple[Array, Array, Prompts]) -> None:
    dapi, truth, prompts = slide
    masks = PromptedSam(keep_region=False).segment(dapi, prompts, None)
    assert found_share(truth, masks) >= 0.8
    assert len(masks) <= len(prompts)


def test_prompts_of_boxes_alone_give_masks_as_points_do(slide: tuple[Array, Array, Prompts]) -> None:
    dapi, truth, prompts = slide
    places = [np.argwhere(truth == label) for label in range(1, int(truth.max()) + 1)]
    boxes = np.array([[*place.min(0)[::-1], *place.max(0)[::-1]] for place in places], np.float32)
    boxed = Prompts(np.zeros((len(boxes), 1, 2), np.float32), np.full((len(boxes), 1), -1, np.int8), boxes)
    assert found_share(truth, PromptedSam(use="boxes").segment(dapi, boxed, None)) >= 0.8
    assert found_share(truth, PromptedSam(use="boxes", keep_region=False).segment(dapi, prompts, None)) >= 0.8


def test_the_same_frame_gives_the_same_masks_whatever_the_batch(slide: tuple[Array, Array, Prompts]) -> None:
    dapi, _, prompts = slide
    one, two = (PromptedSam(batch=n).segment(dapi, prompts, None) for n in (64, 64))
    assert [i.bbox_xywh for i in one] == [i.bbox_xywh for i in two]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(one, two, strict=True))
    assert len(PromptedSam(batch=5).segment(dapi, prompts, None)) == len(one)


def test_a_shift_of_the_tile_grid_changes_no_count(slide: tuple[Array, Array, Prompts]) -> None:
    dapi, _, prompts = slide
    sam = load_sam("nuclei_t", locate("nuclei_t"), "cpu")
    frame = scaled_frame(dapi, typical_diameter_px(dapi, prompts), NUCLEUS_PX["nuclei_t"])
    counts = set()
    for shift in ((0, 0), (37, 90), (101, 11)):
        grid = TileGrid(*frame.image.shape, sam.side_px, 96, shift)
        counts.add(sum(mask is not None for _, mask in masks_of(sam, frame, prompts, grid)))
    assert len(counts) == 1


def test_without_prompts_there_is_nothing() -> None:
    assert PromptedSam().segment(np.zeros((50, 60), np.uint16), Prompts.empty(), None) == []


@pytest.mark.parametrize("shape", [(40, 50), (300, 40)])
def test_a_frame_smaller_than_a_tile_is_taken(shape: tuple[int, int]) -> None:
    dapi = np.full(shape, 100, np.uint16)
    dapi[10:30, 12:30] = 3000
    masks = PromptedSam().segment(dapi, Watershed().prompt(dapi, None), None)
    assert len(masks) == 1


@pytest.mark.slow
def test_the_automatic_generator_finds_nuclei_without_prompts(slide: tuple[Array, Array, Prompts]) -> None:
    dapi, truth, _ = slide
    masks = AutomaticSam(points_per_side=12).segment(dapi, Prompts.empty(), None)
    assert found_share(truth, masks) >= 0.5
