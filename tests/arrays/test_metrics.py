"""Matching and its figures, against geometry, against their properties, and against a plain spelling of the definitions."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cacapp.arrays.metrics import THRESHOLDS, match, scores
from cacapp.exceptions import CacappError
from cacapp.types import Array, Instance

LABELS = arrays(np.int32, (8, 9), elements=st.integers(0, 4))


def bars(*spans: tuple[int, int], height: int = 10, width: int = 100) -> Array:
    """A (height, width) label image: bar i + 1 covers the columns of ``spans[i]``."""
    labels = np.zeros((height, width), np.int32)
    for value, (start, stop) in enumerate(spans, 1):
        labels[:, start:stop] = value
    return labels


def test_a_shifted_bar_has_the_iou_and_dice_of_its_overlap() -> None:
    found = match(bars((0, 20)), bars((5, 25)))
    assert found.iou.tolist() == [15 / 25]
    assert found.dice.tolist() == [30 / 40]
    assert [found.true_positives(t) for t in THRESHOLDS] == [1, 1, 0, 0, 0, 0]


def test_an_iou_equal_to_the_threshold_is_a_hit() -> None:
    assert match(bars((0, 20)), bars((0, 10))).true_positives(0.5) == 1


def test_ap_counts_missed_and_false_nuclei_alike() -> None:
    truth = bars((0, 10), (20, 30), (40, 50))
    predicted = bars((0, 10), (70, 80))
    assert match(truth, predicted).average_precision(0.5) == 1 / 4  # 1 found, 1 false, 2 missed


def test_a_missed_nucleus_counts_nothing_in_the_object_dice() -> None:
    assert match(bars((0, 10), (20, 30)), bars((0, 10))).object_dice() == 0.5


def test_one_prediction_over_two_nuclei_finds_one_of_them_at_most() -> None:
    found = match(bars((0, 20), (20, 30)), bars((0, 30)))
    assert len(found.pairs) == 1
    assert found.iou.tolist() == [20 / 30]
    true, predicted = found.found(0.5)
    assert (true.tolist(), predicted.tolist()) == ([True, False], [True])


def test_matching_makes_the_sum_largest_not_the_first_pair() -> None:
    # P1 lies best on T1 (10/15), but T2 has nobody else: T1-P2 and T2-P1 give more together.
    truth, predicted = np.zeros((1, 60), np.int32), np.zeros((1, 60), np.int32)
    truth[0, 0:12], truth[0, 12:24] = 1, 2
    predicted[0, 6:23], predicted[0, 0:6] = 1, 2
    assert match(truth, predicted).pairs.tolist() == [[0, 1], [1, 0]]


def test_labels_need_not_be_consecutive_and_parts_of_a_label_are_one_nucleus() -> None:
    truth = bars((0, 10), (40, 50))
    truth[truth > 0] = 7
    predicted = bars((0, 10), (40, 50))
    predicted[predicted > 0] = 2_000_000_000
    found = match(truth, predicted)
    assert (found.true_ids.tolist(), found.predicted_ids.tolist()) == ([7], [2_000_000_000])
    assert found.iou.tolist() == [1.0]


def test_of_overlapping_instances_the_smaller_keeps_the_pixels() -> None:
    large = Instance((0, 0, 40, 10), np.ones((10, 40), bool))
    small = Instance((30, 0, 10, 10), np.ones((10, 10), bool))
    for order in ((large, small), (small, large)):
        assert sorted(match(bars((0, 30), (30, 40)), order).iou.tolist()) == [1.0, 1.0]


def test_ap_is_a_mean_over_images_and_f1_one_over_all_nuclei() -> None:
    good = match(bars((0, 10)), bars((0, 10)))
    poor = match(bars((0, 10), (20, 30), (40, 50)), bars((60, 70)))
    figures = scores([good, poor])
    assert figures["AP@0.5"] == 0.5
    assert figures["F1@0.5"] == 2 / 6
    assert figures["object_dice"] == 1 / 4
    assert figures["pixel_dice"] == 2 * 100 / 600
    assert figures["pixel_iou"] == 100 / 500
    assert (figures["images"], figures["nuclei_true"], figures["nuclei_pred"]) == (2, 4, 2)


def test_empty_images_and_no_images_give_zeros_not_errors() -> None:
    nothing = bars()
    assert set(scores([match(nothing, nothing)]).values()) == {0.0, 1}
    assert set(scores([]).values()) == {0.0}
    assert match(bars((0, 10)), nothing).average_precision(0.5) == 0
    assert match(nothing, []).pairs.shape == (0, 2)


def test_images_of_different_size_are_refused() -> None:
    with pytest.raises(CacappError, match=r"100 x 10 px against a prediction of 99 x 10"):
        match(bars((0, 10)), bars((0, 10), width=99))


@given(LABELS)
def test_a_prediction_equal_to_the_truth_is_perfect_whatever_its_numbers(labels: Array) -> None:
    figures = scores([match(labels, np.where(labels, 1000 - labels, 0))])
    if labels.any():
        assert {v for k, v in figures.items() if "@" in k or "_dice" in k or "_iou" in k} == {1.0}


@given(LABELS, LABELS)
def test_swapping_truth_and_prediction_keeps_iou_and_ap(one: Array, two: Array) -> None:
    there, back = match(one, two), match(two, one)
    assert there.iou.sum() == pytest.approx(back.iou.sum())
    # at IoU above one half a nucleus has one possible partner: no two matchings differ there
    assert there.average_precision(0.6) == back.average_precision(0.6)
    assert (there.pixels_both, there.pixels_true) == (back.pixels_both, back.pixels_predicted)


@given(LABELS, LABELS)
def test_pairing_group_by_group_is_as_good_as_pairing_all_at_once(one: Array, two: Array) -> None:
    whole, grouped = match(one, two), match(one, two, dense_cells=0)
    assert grouped.iou.sum() == pytest.approx(whole.iou.sum())
    assert len(set(grouped.pairs[:, 0].tolist())) == len(set(grouped.pairs[:, 1].tolist())) == len(grouped.pairs)


def plain_figures(truth: Array, predicted: Array, threshold: float) -> tuple[float, float]:
    """(AP, object Dice) by the definitions: every one-to-one pairing is tried, sets of pixels are counted."""
    true = [set(np.flatnonzero(truth == v).tolist()) for v in np.unique(truth) if v]
    guessed = [set(np.flatnonzero(predicted == v).tolist()) for v in np.unique(predicted) if v]
    few, many = sorted((true, guessed), key=len)
    best = max(permutations(many, len(few)), key=lambda p: sum(len(a & b) / len(a | b) for a, b in zip(few, p, strict=True)))
    hits = sum(len(a & b) / len(a | b) >= threshold for a, b in zip(few, best, strict=True))
    dice = sum(2 * len(a & b) / (len(a) + len(b)) for a, b in zip(few, best, strict=True))
    return hits / max(1, len(true) + len(guessed) - hits), dice / max(1, len(true))


@settings(max_examples=60, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from(THRESHOLDS))
def test_figures_are_those_of_the_definitions(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    truth = np.zeros((24, 31), np.int32)
    # rectangles of random sizes: their sums of IoU do not tie but for equal pairings
    for value in range(1, rng.integers(1, 6)):
        top, left, h, w = rng.integers(0, 18), rng.integers(0, 22), rng.integers(3, 12), rng.integers(3, 13)
        truth[top : top + h, left : left + w] = value * 3
    predicted = np.roll(truth, tuple(rng.integers(-3, 4, 2)), axis=(0, 1))
    predicted[rng.random(predicted.shape) < 0.15] = 0
    predicted[:, : rng.integers(0, 8)] = 50
    found = match(truth, predicted)
    ap, dice = plain_figures(truth, predicted, threshold)
    assert found.average_precision(threshold) == pytest.approx(ap)
    assert found.object_dice() == pytest.approx(dice)
    both, either = np.count_nonzero((truth > 0) & (predicted > 0)), np.count_nonzero((truth > 0) | (predicted > 0))
    assert scores([found])["pixel_iou"] == pytest.approx(both / max(1, either))
