"""Masks that overlap: each pixel belongs to one nucleus, each nucleus is kept once."""

import numpy as np
import pytest

from cacapp.arrays.overlap import divide_overlaps, intersections, resolve
from cacapp.types import Array, Instance, label_image


def disk(x: int, y: int, radius: int, score: float = 0.9) -> Instance:
    yy, xx = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return Instance((x - radius, y - radius, 2 * radius + 1, 2 * radius + 1), yy**2 + xx**2 <= radius**2, score)


def box(x: int, y: int, w: int, h: int, score: float = 0.9) -> Instance:
    return Instance((x, y, w, h), np.ones((h, w), bool), score)


def test_of_two_masks_of_one_nucleus_the_one_of_higher_score_is_kept() -> None:
    assert resolve([disk(50, 50, 20, 0.7), disk(52, 51, 20, 0.9)]) == [1]


def test_touching_nuclei_both_stay() -> None:
    assert resolve([disk(50, 50, 20), disk(86, 50, 20)]) == [0, 1]


def test_a_mask_over_two_nuclei_is_dropped_whatever_its_score() -> None:
    assert resolve([box(30, 30, 82, 41, 0.99), disk(50, 50, 20, 0.6), disk(91, 50, 20, 0.6)]) == [1, 2]


def test_a_part_of_a_nucleus_is_not_a_second_nucleus() -> None:
    assert resolve([disk(50, 50, 20, 0.9), disk(50, 60, 6, 0.8)]) == [0]


def test_the_order_of_the_masks_does_not_matter() -> None:
    some = [disk(50, 50, 20, 0.7), disk(52, 51, 20, 0.9), box(130, 30, 82, 41, 0.99), disk(150, 50, 20, 0.6), disk(191, 50, 20, 0.65)]
    kept = {some[i].bbox_xywh for i in resolve(some)}
    assert {some[::-1][i].bbox_xywh for i in resolve(some[::-1])} == kept == {some[i].bbox_xywh for i in (1, 3, 4)}


@pytest.mark.parametrize("shift", range(0, 45, 7))
def test_shared_pixels_are_counted(shift: int) -> None:
    a, b = disk(50, 50, 20), disk(50 + shift, 48, 20)
    canvas = np.zeros((2, 120, 140), bool)
    for plane, one in zip(canvas, (a, b), strict=True):
        x, y, w, h = one.bbox_xywh
        plane[y : y + h, x : x + w] = one.mask
    expected = int((canvas[0] & canvas[1]).sum())
    assert [n for _, _, n in intersections([a, b])] == ([expected] if expected else [])


def test_without_instances_there_is_nothing_to_resolve() -> None:
    assert resolve([]) == []


def depth(one: Instance) -> Array:
    """How deep inside its disk a pixel lies."""
    r = one.bbox_xywh[2] // 2
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    return (r - np.hypot(x, y)).astype(np.float32)


def test_a_shared_pixel_goes_to_the_instance_of_higher_score() -> None:
    pair = [disk(30, 30, 12), disk(46, 30, 12)]
    left, right = divide_overlaps(pair, [depth(one) for one in pair])
    assert left is not None
    assert right is not None
    assert list(intersections([left, right])) == []
    union = label_image(pair, 60, 80) > 0
    assert np.array_equal(label_image([left, right], 60, 80) > 0, union)
    assert left.bbox_xywh[0] + left.bbox_xywh[2] - 1 == 38  # equally deep half-way: the first has it
    assert right.bbox_xywh[0] == 39


def test_an_instance_without_a_pixel_of_its_own_is_gone() -> None:
    outer, inner = disk(30, 30, 12), disk(30, 30, 4)
    left, none = divide_overlaps([outer, inner], [np.ones(outer.mask.shape), np.zeros(inner.mask.shape)])
    assert left is outer
    assert none is None


def test_the_larger_part_of_a_divided_instance_is_kept() -> None:
    bar = Instance((0, 10, 40, 5), np.ones((5, 40), bool), 0.5)
    post = Instance((10, 0, 6, 30), np.ones((30, 6), bool), 0.5)
    cut, whole = divide_overlaps([bar, post], [np.zeros((5, 40)), np.ones((30, 6))])
    assert whole is post
    assert cut is not None
    assert cut.bbox_xywh == (16, 10, 24, 5)
