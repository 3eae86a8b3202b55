"""Grouping of votes, and outlines brought back to the frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacapp.algorithms.dense.segmenter import instances_at
from cacapp.algorithms.dense.votes import CELL_MIN_PX, Rules, objects_of
from cacapp.types import label_image


def disks(shape, circles):
    """True labels, perfect foreground and perfect offsets of disks (y, x, radius); a later one lies in front."""
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for number, (y, x, radius) in enumerate(circles, start=1):
        labels[(yy - y) ** 2 + (xx - x) ** 2 <= radius**2] = number
    offsets = np.zeros((2, *shape), np.float32)
    for number, (y, x, _) in enumerate(circles, start=1):
        mine = labels == number
        offsets[0][mine], offsets[1][mine] = (y - yy)[mine], (x - xx)[mine]
    return labels, (labels > 0).astype(np.float32), offsets


def same_partition(a, b):
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).T
    return len(pairs) == len(np.unique(a)) == len(np.unique(b))


def test_perfect_votes_give_back_the_true_nuclei_even_where_they_touch():
    truth, foreground, offsets = disks((60, 90), [(30, 20, 10), (30, 39, 9), (20, 70, 12)])
    assert same_partition(objects_of(foreground, offsets, Rules()), truth)


def test_votes_of_one_pixel_scatter_do_not_split_a_nucleus():
    truth, foreground, offsets = disks((60, 60), [(30, 30, 14)])
    scatter = np.random.default_rng(0).normal(0, 1.0, offsets.shape).astype(np.float32)
    assert same_partition(objects_of(foreground, offsets + scatter, Rules()), truth)


@settings(deadline=None, max_examples=25)
@given(st.integers(4, 12), st.integers(4, 12), st.integers(0, 3))
def test_two_disks_side_by_side_are_two_whatever_their_sizes(first, second, gap):
    circles = [(30, 20, first), (30, 21 + first + gap + second, second)]
    truth, foreground, offsets = disks((60, 80), circles)
    assert same_partition(objects_of(foreground, offsets, Rules()), truth)


def test_no_foreground_gives_no_object():
    assert objects_of(np.zeros((8, 9), np.float32), np.zeros((2, 8, 9), np.float32), Rules()).max() == 0


def test_specks_below_the_least_size_are_no_objects():
    _, foreground, offsets = disks((20, 20), [(10, 10, 1)])
    assert foreground.sum() < CELL_MIN_PX
    assert objects_of(foreground, offsets, Rules()).max() == 0


def test_holes_are_filled_and_a_nucleus_inside_keeps_its_pixels():
    truth, foreground, offsets = disks((60, 60), [(30, 30, 16)])
    foreground[28:31, 28:31] = 0
    found = objects_of(foreground, offsets, Rules())
    assert (found > 0).sum() == (truth > 0).sum()


def test_pieces_off_the_main_one_are_dropped():
    _, foreground, offsets = disks((60, 60), [(30, 30, 10)])
    foreground[5:9, 5:9] = 1
    offsets[:, 5:9, 5:9] = np.array([25, 25], np.float32)[:, None, None]
    assert objects_of(foreground, offsets, Rules())[5:9, 5:9].max() == 0


@pytest.mark.parametrize("zoom", [0.25, 0.5, 1.0, 1.7])
def test_outlines_come_back_at_the_frames_size(zoom):
    shape = (round(200 * zoom), round(240 * zoom))
    yy, xx = ((np.mgrid[: shape[0], : shape[1]] + 0.5) / zoom) - 0.5
    level = np.clip(0.5 + (40 - np.hypot(yy - 100, xx - 110)) * zoom / 4, 0, 1).astype(np.float32)
    labels = (level > 0.5).astype(np.int32)
    (instance,) = instances_at(labels, level, 0.5, zoom, np.array([0.9]), (200, 240))
    x, y, w, h = instance.bbox_xywh
    assert instance.mask.shape == (h, w)
    assert instance.mask.sum() == pytest.approx(np.pi * 40**2, rel=0.02)
    assert x + (w - 1) / 2 == pytest.approx(110, abs=0.6)
    assert y + (h - 1) / 2 == pytest.approx(100, abs=0.6)
    assert instance.score == pytest.approx(0.9)


def test_touching_objects_share_no_pixel_and_leave_no_gap():
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 5:20], labels[10:30, 20:35] = 1, 2
    foreground = np.where(labels > 0, 0.95, 0.05).astype(np.float32)
    one, two = instances_at(labels, foreground, 0.5, 0.5, np.array([1.0, 1.0]), (80, 80))
    a, b = label_image([one], 80, 80) > 0, label_image([two], 80, 80) > 0
    assert not (a & b).any()
    assert (a | b)[25:55, 15:65].all()


def test_objects_on_the_frames_edge_stay_inside_it_and_reach_it():
    labels = np.zeros((20, 20), np.int32)
    labels[0:8, 12:20] = 1
    foreground = np.where(labels > 0, 0.95, 0.05).astype(np.float32)
    (instance,) = instances_at(labels, foreground, 0.5, 0.5, np.array([1.0]), (39, 40))
    x, y, w, _ = instance.bbox_xywh
    assert y == 0
    assert x + w == 40
