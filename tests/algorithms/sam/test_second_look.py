"""Second prompts for Segment Anything."""

import cv2
import numpy as np
import pytest

from cacapp.algorithms.sam.second_look import deep_points, second_prompts, uncovered_points
from cacapp.algorithms.sam.segmenter import PromptedSam
from cacapp.types import Array, Instance, Prompts

D = 30


def disks(*centres_xy: tuple[int, int], shape: tuple[int, int] = (80, 120)) -> Array:
    mask = np.zeros(shape, np.uint8)
    for centre in centres_xy:
        cv2.circle(mask, centre, D // 2, 1, cv2.FILLED)
    return mask > 0


def instance(mask: Array) -> Instance:
    ys, xs = np.nonzero(mask)
    x, y = int(xs.min()), int(ys.min())
    crop = mask[y : ys.max() + 1, x : xs.max() + 1]
    return Instance((x, y, crop.shape[1], crop.shape[0]), crop, 0.9)


def one_prompt(region: Instance, x: float, y: float) -> Prompts:
    points = np.array([[[x, y], [1, 1]]], np.float32)
    return Prompts(points, np.array([[1, 0]], np.int8), None, (region,))


def near(points: list[tuple[int, int]] | Array, x: int, y: int) -> bool:
    return bool((np.hypot(*(np.asarray(points, float) - [x, y]).T) < 4).any())


def test_the_nucleus_that_a_mask_left_uncovered_is_prompted() -> None:
    region = instance(disks((30, 40), (56, 40)))
    first = instance(disks((30, 40)))
    again = second_prompts(one_prompt(region, 30, 40), [first], D, (80, 120))
    assert near(again.points_xy[:, 0], 56, 40)
    assert (again.points_xy[:, 1] == [1, 1]).all()  # the negative point of the prompt it comes from
    assert (again.point_labels == [1, 0]).all()


def test_a_mask_with_a_waist_is_prompted_again_on_both_sides() -> None:
    both = instance(disks((30, 40), (56, 40)))
    again = second_prompts(one_prompt(both, 43, 40), [both], D, (80, 120))
    assert near(again.points_xy[:, 0], 30, 40)
    assert near(again.points_xy[:, 0], 56, 40)


def test_a_nucleus_that_is_covered_and_round_is_not_prompted_again() -> None:
    one = instance(disks((30, 40)))
    assert len(second_prompts(one_prompt(one, 30, 40), [one], D, (80, 120))) == 0


def test_the_border_of_a_nucleus_is_not_an_uncovered_nucleus() -> None:
    rim = disks((30, 40)) & ~cv2.erode(disks((30, 40)).astype(np.uint8), np.ones((5, 5))).astype(bool)
    assert uncovered_points(rim, 0.4 * D / 2) == []


def test_one_disk_has_one_summit_and_gives_no_points() -> None:
    assert deep_points(disks((30, 40)), D) == []
    assert len(deep_points(disks((30, 40), (56, 40)), D)) == 2


@pytest.mark.parametrize("second_look", [False, True])
def test_two_touching_nuclei_under_one_prompt_are_two_after_a_second_look(second_look: bool) -> None:
    rng = np.random.default_rng(0)
    mask = disks((60, 60), (88, 60), shape=(128, 160))
    dapi = (cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.2) * 3000 + 200 + rng.normal(0, 20, mask.shape)).astype(np.uint16)
    region = instance(mask)
    alone = disks((30, 100), shape=(128, 160))
    dapi[alone] += 3000
    prompts = Prompts(
        np.array([[[60, 60], [2, 2]], [[30, 100], [2, 2]]], np.float32), np.array([[1, 0]] * 2, np.int8), None, (region, instance(alone))
    )
    found = PromptedSam(second_look=second_look, keep_region=False).segment(dapi, prompts, None)
    assert len(found) == (3 if second_look else 2)
