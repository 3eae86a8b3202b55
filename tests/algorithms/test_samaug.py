"""Prompter ``samaug``: each rule puts its points where it says, inside the nucleus, and the segmenters take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from cacapp import host as guard
from cacapp.algorithms.sam.segmenter import PromptedSam
from cacapp.algorithms.samaug import BASES, SamAug, local_entropy
from cacapp.types import Array, Prompts

METHODS = ("random", "max-entropy", "max-distance", "saliency")
Make = Callable[..., Any]


def flat_nucleus(shape: tuple[int, int] = (200, 240), centre: tuple[int, int] = (100, 120), half: tuple[int, int] = (40, 22)) -> Array:
    """One even ellipse (half axes along x and y) of 1000 on an even background of 100."""
    dapi = np.full(shape, 100, np.uint16)
    cv2.ellipse(dapi, centre[::-1], half, 0, 0, 360, 1000, cv2.FILLED)
    return dapi


def run(prompter: SamAug, dapi: Array) -> Prompts:
    return guard.prompt(prompter, dapi, None)


def added(prompter: SamAug, dapi: Array) -> Array:
    """(K, 2) added points (x, y) of the only nucleus."""
    found = run(prompter, dapi)
    assert len(found) == 1
    assert found.point_labels[0].tolist() == [1, 0] + [1] * prompter.points
    return np.asarray(found.points_xy[0, 2:])


@pytest.mark.parametrize("method", METHODS)
def test_every_rule_adds_positive_points_inside_the_nucleus(method: str, nucleus: Make, scene: Make) -> None:
    made = scene([nucleus(80, 90, 26, 18), nucleus(200, 300, 20, 20), nucleus(90, 280, 30, 16, 0.7)])
    found = run(SamAug(method=method, points=3), made.dapi)
    first = BASES["watershed"]().prompt(made.dapi, None)
    assert np.array_equal(found.points_xy[:, :2], first.points_xy)
    assert np.array_equal(found.point_labels[:, :2], first.point_labels)
    assert (found.point_labels[:, 2:] == 1).all()
    inside = np.any(made.masks, axis=0)
    x, y = found.points_xy[:, 2:].reshape(-1, 2).astype(int).T
    assert inside[y, x].all()
    assert [r.bbox_xywh for r in found.regions] == [r.bbox_xywh for r in first.regions]


def test_the_farthest_point_is_at_an_end_of_the_long_axis() -> None:
    (x, y), (other_x, _) = added(SamAug(method="max-distance", points=2, rim=0), flat_nucleus())
    assert abs(y - 100) <= 6
    assert abs(abs(x - 120) - 40) <= 3
    assert abs(abs(other_x - 120) - 40) <= 3
    assert np.sign(x - 120) == -np.sign(other_x - 120)  # the second lies furthest from both: at the other end


def test_the_point_of_largest_entropy_is_in_the_textured_part() -> None:
    dapi = flat_nucleus()
    spot = np.random.default_rng(0).integers(600, 1400, (11, 11))
    dapi[95:106, 140:151] = spot
    ((x, y),) = added(SamAug(method="max-entropy"), dapi)
    assert 139 <= x <= 151
    assert 94 <= y <= 106


def test_the_most_salient_point_is_the_brightest_spot() -> None:
    dapi = flat_nucleus()
    cv2.circle(dapi, (96, 100), 5, 3000, cv2.FILLED)
    ((x, y),) = added(SamAug(method="saliency"), dapi)
    assert np.hypot(x - 96, y - 100) <= 3


def test_random_points_follow_the_seed() -> None:
    dapi = flat_nucleus()
    one, same, other = (added(SamAug(method="random", points=4, seed=seed), dapi) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert len(np.unique(one, axis=0)) == 4


def test_points_keep_away_from_the_outline() -> None:
    dapi = flat_nucleus()
    depth = cv2.distanceTransform((dapi > 500).astype(np.uint8), cv2.DIST_L2, 5)
    points = added(SamAug(method="max-distance", points=4, rim=0.4), dapi).astype(int)
    assert min(depth[y, x] for x, y in points) >= 0.4 * depth.max() - 1.5


def test_the_entropy_of_two_equally_frequent_levels_is_one_bit() -> None:
    checker = (np.indices((20, 20)).sum(axis=0) % 2) * 100
    found = local_entropy(checker, np.ones((20, 20), bool), 5)
    assert found[10, 10] == pytest.approx(1, abs=0.01)
    assert local_entropy(np.full((20, 20), 7), np.ones((20, 20), bool), 5)[10, 10] == pytest.approx(0, abs=1e-5)


def test_the_outline_itself_has_no_entropy() -> None:
    grey = np.zeros((30, 30), np.uint16)
    grey[5:25, 5:25] = 500
    assert local_entropy(grey, grey > 0, 5)[grey > 0].max() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("base", sorted(BASES))
def test_any_classical_prompter_can_be_the_base(base: str) -> None:
    assert len(run(SamAug(base=base), flat_nucleus())) == 1


def test_an_empty_frame_has_no_prompts() -> None:
    assert len(run(SamAug(points=3), np.full((80, 90), 100, np.uint8))) == 0


@pytest.mark.parametrize(("method", "first_mask"), [("max-distance", "region"), ("saliency", "sam"), ("random", "sam")])
def test_sam_segments_with_augmented_prompts(method: str, first_mask: str, nucleus: Make, scene: Make, overlaps: Make) -> None:
    made = scene([nucleus(80, 90, 26, 18), nucleus(200, 300, 20, 20), nucleus(90, 280, 30, 16, 0.7)])
    prompter = SamAug(method=method, first_mask=first_mask, points=2)
    masks = guard.segment(PromptedSam(), made.dapi, run(prompter, made.dapi), None)
    assert len(masks) == 3
    assert min(overlaps(made, masks)) > 0.7


def test_a_first_mask_by_sam_is_recorded_with_its_weights() -> None:
    assert SamAug().weights_sha256() is None
    assert SamAug(first_mask="sam").weights_sha256() == PromptedSam().weights_sha256()
