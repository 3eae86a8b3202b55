"""Holes, basins, borders, fusion, and label images to instances."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cacapp.arrays.regions import basins, borders, fill_holes, fuse, inscribed_diameter, instances_of
from cacapp.types import Array, label_image

Draw = Callable[..., Array]
masks = arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14)))


def test_a_hole_is_filled_and_a_concavity_is_not() -> None:
    ring = np.zeros((9, 9), bool)
    ring[2:7, 2:7] = True
    ring[4, 4] = False
    bay = ring.copy()
    bay[4, 4:] = False
    assert fill_holes(ring).sum() == 25
    assert np.array_equal(fill_holes(bay), bay)


def test_background_open_to_the_frames_edge_is_not_filled_even_where_the_object_encloses_it() -> None:
    mask = np.ones((5, 5), bool)
    mask[0, 2] = False
    mask[2, 2] = False
    filled = fill_holes(mask)
    assert not filled[0, 2]
    assert filled[2, 2]


@given(masks)
def test_filling_adds_only_closed_background_and_twice_is_once(mask: Array) -> None:
    filled = fill_holes(mask)
    assert filled.dtype == bool
    assert (filled | ~mask).all()
    assert np.array_equal(fill_holes(filled), filled)
    # what is left of the background reaches the edge by steps along rows and columns
    padded = np.pad(~filled, 1, constant_values=True).astype(np.uint8)
    assert cv2.connectedComponents(padded, connectivity=4)[0] == 2


@pytest.mark.parametrize("radius", [3, 5, 10, 25, 60])
def test_the_inscribed_diameter_of_a_disk_is_its_diameter(radius: int, ellipse: Draw) -> None:
    assert inscribed_diameter(ellipse(radius, radius)) == pytest.approx(2 * radius, abs=1.8)


def test_the_inscribed_diameter_of_many_is_that_of_the_area_in_the_middle(ellipse: Draw) -> None:
    frame = np.zeros((200, 400), bool)
    for n in range(6):
        frame[20:67, 50 * n : 50 * n + 47] |= ellipse(20, 20)[:47, :47]
    frame[150:153, ::6] = True  # 67 specks of three pixels weigh little
    frame[150:152, 1::6] = True
    assert inscribed_diameter(frame) == pytest.approx(40, abs=2)


def test_an_empty_mask_has_no_diameter() -> None:
    assert inscribed_diameter(np.zeros((7, 7), bool)) == 0.0


def hills(*centres: tuple[float, float], sigma: float = 8.0, shape: tuple[int, int] = (60, 100)) -> Array:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return sum((np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * sigma**2)) for cy, cx in centres), np.zeros(shape)).astype(np.float32)


@given(*(st.builds(float.__add__, st.integers(*ends).map(float), st.floats(-0.4, 0.4)) for ends in ((20, 30), (28, 35), (60, 68))))
def test_two_maxima_are_two_basins_that_meet_at_the_saddle(row: float, left: float, right: float) -> None:
    height = hills((row, left), (row, right))
    labels, peaks = basins(height, height > 0.005)
    assert labels.max() == 2
    one, two = labels[round(row), round(left)], labels[round(row), round(right)]
    assert {one, two} == {1, 2}
    # equal hills are parted half way between them, to a pixel
    line = labels[round(row)]
    middle = (left + right) / 2
    assert (line[round(left) : int(middle) - 1] == one).all()
    assert (line[int(middle) + 3 : round(right)] == two).all()
    assert peaks[[one, two]] == pytest.approx([1, 1], abs=0.01)


@given(arrays(np.float32, (10, 12), elements=st.integers(0, 5).map(np.float32)), arrays(bool, (10, 12)))
def test_every_pixel_of_the_mask_gets_a_label_and_no_other(height: Array, mask: Array) -> None:
    labels, peaks = basins(height, mask)
    assert np.array_equal(labels > 0, mask)
    assert len(peaks) == labels.max() + 1
    for label in range(1, len(peaks)):
        region = labels == label
        assert peaks[label] == height[region].max()
        assert cv2.connectedComponents(region.astype(np.uint8), connectivity=8)[0] == 2


def test_a_plateau_is_one_region_after_fusion() -> None:
    height = np.ones((8, 9), np.float32)
    labels, peaks = basins(height, np.ones((8, 9), bool))
    assert len(np.unique(fuse(labels, peaks, height, 1.0))) == 1


def test_negative_values_have_basins_too() -> None:
    height = hills((30, 30), (30, 70)) - 5
    labels, _ = basins(height, np.ones(height.shape, bool))
    assert labels.max() == 2
    assert (labels > 0).all()


def test_an_empty_mask_has_no_basins() -> None:
    labels, peaks = basins(np.zeros((5, 6), np.float32), np.zeros((5, 6), bool))
    assert not labels.any()
    assert len(peaks) == 1


def test_borders_are_reported_with_their_highest_point() -> None:
    labels = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [0, 0, 0, 3]], np.int32)
    height = np.array([[9, 5, 4, 9], [9, 7, 8, 3], [9, 9, 9, 6]], np.float32)
    pairs, saddles = borders(labels, height)
    assert pairs.tolist() == [[1, 2], [2, 3]]
    assert saddles.tolist() == [7, 3]


def test_regions_apart_have_no_border() -> None:
    pairs, saddles = borders(np.array([[1, 0, 2]], np.int32), np.ones((1, 3), np.float32))
    assert pairs.shape == (0, 2)
    assert saddles.shape == (0,)


@given(
    arrays(np.float32, (9, 9), elements=st.integers(1, 9).map(np.float32)), masks.filter(lambda m: m.shape == (9, 9)) | arrays(bool, (9, 9))
)
def test_fused_at_ratio_0_what_touches_is_one_and_above_1_nothing_is(height: Array, mask: Array) -> None:
    labels, peaks = basins(height, mask)
    together = fuse(labels, peaks, height, 0.0)
    assert np.array_equal(together > 0, mask)
    pairs, _ = borders(together, height)
    assert len(pairs) == 0
    assert np.array_equal(np.unique(fuse(labels, peaks, height, 1.001)), np.unique(labels))


@pytest.mark.parametrize(("ratio", "parts"), [(0.5, 1), (0.99, 2)])
def test_maxima_are_merged_where_the_saddle_is_high_for_the_ratio(ratio: float, parts: int) -> None:
    height = hills((30, 38), (30, 62), sigma=9)  # the saddle lies at 2 exp(-12²/162) = 0.82 of the summits
    labels, peaks = basins(height, height > 0.05)
    assert len(np.unique(fuse(labels, peaks, height, ratio))) - 1 == parts
    assert len(np.unique(fuse(labels, peaks, height, 0.79))) == 2
    assert len(np.unique(fuse(labels, peaks, height, 0.86))) == 3


def test_instances_hold_exactly_the_pixels_of_their_labels() -> None:
    labels = np.zeros((12, 15), np.int32)
    labels[1:4, 2:7] = 3
    labels[2, 3] = 0
    labels[8:12, 10:15] = 1
    found = instances_of(labels)
    assert [i.bbox_xywh for i in found] == [(10, 8, 5, 4), (2, 1, 5, 3)]
    assert np.array_equal(label_image(found, 12, 15, [1, 3]), labels)


@given(arrays(np.int32, st.tuples(st.integers(1, 10), st.integers(1, 10)), elements=st.integers(0, 4)))
def test_a_label_image_survives_instances_and_back(labels: Array) -> None:
    values = [v for v in np.unique(labels).tolist() if v]
    found = instances_of(labels)
    assert len(found) == len(values)
    assert np.array_equal(label_image(found, *labels.shape, values), labels)


def test_small_objects_are_left_out() -> None:
    labels = np.zeros((10, 10), np.int32)
    labels[0, :3], labels[5:9, 5:9] = 1, 2
    assert [i.mask.sum() for i in instances_of(labels, min_area_px=4)] == [16]


@given(
    radius=st.floats(12, 60),
    zoom=st.integers(2, 5),
    y=st.floats(0, 150),
    x=st.floats(0, 170),
    cut=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_an_enlarged_disk_has_the_area_and_place_of_the_full_one(
    radius: float, zoom: int, y: float, x: float, cut: tuple[int, int]
) -> None:
    height, width = 150 + cut[0], 170 + cut[1]
    rows, cols = np.mgrid[:height, :width]
    full = np.hypot(rows - y, cols - x) <= radius
    small = np.zeros((-(-height // zoom), -(-width // zoom)))
    np.add.at(small, (rows // zoom, cols // zoom), full)
    blocks = np.zeros_like(small)
    np.add.at(blocks, (rows // zoom, cols // zoom), 1)
    labels = (small / blocks > 0.5).astype(np.int32)
    found = instances_of(labels, 1, zoom, (height, width))
    for instance in found:
        left, top, w, h = instance.bbox_xywh
        assert left >= 0
        assert top >= 0
        assert left + w <= width
        assert top + h <= height
        assert instance.mask.shape == (h, w)
        assert instance.mask.flags["C_CONTIGUOUS"]
    truth = full.sum()
    if truth > 300 and radius > 5 * zoom:
        painted = label_image(found, height, width) > 0
        assert painted.sum() == pytest.approx(truth, abs=1.6 * zoom * radius)  # a quarter of a coarse pixel all around
        assert (painted & full).sum() / (painted | full).sum() > 0.88
