"""Each prompter finds simulated nuclei, whatever the light, the scale and the bit depth, and nothing where there is nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from cacapp import host as guard
from cacapp.api import Prompter
from cacapp.host import Host
from cacapp.simulation import SlideModel, simulate_frame
from cacapp.types import Array, Prompts, label_image

# samaug gives another's regions more points: test_samaug.py
NAMES = [r.name for r in Host.discover().algorithms("prompter") if r.distribution == "cacapp" and r.name != "samaug"]
Make = Callable[..., Any]


@pytest.fixture(params=NAMES)
def prompter(request: pytest.FixtureRequest) -> Prompter:
    return Host.discover().build("prompter", request.param)  # type: ignore[return-value]


def run(prompter: Prompter, dapi: Array) -> Prompts:
    """Through the guard: shapes, dtypes, bounds and an untouched input are checked on every call."""
    return guard.prompt(prompter, dapi, None)


def cells(nucleus: Make, seed: int = 0) -> list[Any]:
    """Twelve ellipses of 17 to 24 px half axes on a grid, half of them dimmer by up to three times."""
    rng = np.random.default_rng(seed)
    places = [(60 + 90 * r, 60 + 90 * c) for r in range(3) for c in range(4)]
    return [
        nucleus(
            y + rng.uniform(-8, 8), x + rng.uniform(-8, 8), rng.uniform(20, 24), rng.uniform(17, 20), rng.uniform(0, np.pi),
            rng.uniform(1000, 3000),
        )
        for y, x in places
    ]  # fmt: skip


def test_there_are_three_classical_prompters() -> None:
    assert sorted(NAMES) >= ["region-growing", "split-merge", "watershed"]


@pytest.mark.parametrize("seed", range(3))
def test_separate_nuclei_are_found_and_outlined(prompter: Prompter, seed: int, nucleus: Make, scene: Make, overlaps: Make) -> None:
    made = scene(cells(nucleus, seed), (310, 400), seed=seed)
    found = run(prompter, made.dapi)
    assert len(found) == 12
    assert min(overlaps(made, found.regions)) > 0.75
    assert np.mean(overlaps(made, found.regions)) > 0.85


def test_uneven_light_loses_no_nucleus(prompter: Prompter, nucleus: Make, scene: Make, overlaps: Make) -> None:
    made = scene(cells(nucleus), (310, 400), tilt=0.4)
    found = run(prompter, made.dapi)
    assert len(found) == 12
    assert min(overlaps(made, found.regions)) > 0.7


def test_blurred_and_noisy_nuclei_are_found(prompter: Prompter, nucleus: Make, scene: Make, overlaps: Make) -> None:
    made = scene(cells(nucleus), (310, 400), blur_px=3, gain=20)
    found = run(prompter, made.dapi)
    assert len(found) == 12
    assert min(overlaps(made, found.regions)) > 0.7


def test_an_image_twice_as_large_has_the_same_nuclei(prompter: Prompter, nucleus: Make, scene: Make) -> None:
    made = scene(cells(nucleus), (310, 400))
    twice = cv2.resize(made.dapi, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    one, two = run(prompter, made.dapi), run(prompter, twice)
    assert len(one) == len(two) == 12
    area = [sum(int(r.mask.sum()) for r in p.regions) for p in (one, two)]
    assert area[1] / 4 == pytest.approx(area[0], rel=0.06)


def test_a_constant_added_by_the_camera_changes_nothing(prompter: Prompter, nucleus: Make, scene: Make) -> None:
    made = scene(cells(nucleus), (310, 400))
    one, two = run(prompter, made.dapi), run(prompter, made.dapi + np.uint16(3000))
    assert len(one) == len(two)
    assert [r.bbox_xywh for r in one.regions] == [r.bbox_xywh for r in two.regions]


def test_8_and_16_bit_frames_give_the_same_nuclei(prompter: Prompter, nucleus: Make, scene: Make, overlaps: Make) -> None:
    made = scene(
        [nucleus(n.y, n.x, n.long, n.short, n.angle, n.light / 20) for n in cells(nucleus)], (310, 400), 10, gain=0.3, dtype=np.uint8
    )
    found = run(prompter, made.dapi)
    assert len(found) == len(run(prompter, made.dapi.astype(np.uint16) * 257)) == 12
    assert min(overlaps(made, found.regions)) > 0.75


@pytest.mark.parametrize("value", [0, 1, 37, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_frame_of_one_value_has_no_nuclei(prompter: Prompter, value: int, dtype: type) -> None:
    assert len(run(prompter, np.full((120, 150), value, dtype))) == 0


def test_a_saturated_frame_has_no_nuclei(prompter: Prompter) -> None:
    assert len(run(prompter, np.full((120, 150), 65535, np.uint16))) == 0


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 40), (9, 9)])
def test_tiny_images_give_no_error(prompter: Prompter, shape: tuple[int, int]) -> None:
    run(prompter, np.zeros(shape, np.uint8))
    run(prompter, np.random.default_rng(0).integers(0, 65535, shape).astype(np.uint16))


@pytest.mark.parametrize("shape", [(120, 160), (600, 800), (1500, 1600)])
def test_a_single_nucleus_is_found_alone(prompter: Prompter, shape: tuple[int, int], nucleus: Make, scene: Make, overlaps: Make) -> None:
    made = scene([nucleus(60, 70)], shape)
    found = run(prompter, made.dapi)
    assert len(found) == 1
    assert overlaps(made, found.regions)[0] > (0.8 if prompter.name != "split-merge" else 0.55)


def test_nuclei_cut_by_the_frames_edge_are_found(prompter: Prompter, nucleus: Make, scene: Make, overlaps: Make) -> None:
    places = [(0, 0), (0, 200), (150, 0), (299, 399), (295, 150), (150, 395), (150, 200)]
    made = scene([nucleus(y, x) for y, x in places])
    found = run(prompter, made.dapi)
    assert len(found) == len(places)
    assert min(overlaps(made, found.regions)) > 0.65


@pytest.mark.parametrize("distance", [1.85, 1.95])
def test_two_disks_that_touch_are_two(prompter: Prompter, distance: float, nucleus: Make, scene: Make, overlaps: Make) -> None:
    pairs = [nucleus(y, x + s * distance * 10, 20, 20) for y in (50, 150, 250) for x in (80, 200, 320) for s in (-1, 1)]
    made = scene(pairs)
    found = run(prompter, made.dapi)
    if prompter.name == "watershed":
        assert len(found) == 18
        assert min(overlaps(made, found.regions)) > 0.75
    assert len(found) >= 9


def test_an_ellipse_is_one_nucleus(prompter: Prompter, nucleus: Make, scene: Make) -> None:
    made = scene([nucleus(y, x, 30, 18, 0.5 * n) for n, (y, x) in enumerate((y, x) for y in (60, 150, 240) for x in (60, 200, 340))])
    assert len(run(prompter, made.dapi)) == 9


def test_the_positive_point_lies_on_its_region_and_the_negative_on_the_darkest_pixel(
    prompter: Prompter, nucleus: Make, scene: Make
) -> None:
    made = scene(cells(nucleus), (310, 400))
    made.dapi[123, 7] = 3
    found = run(prompter, made.dapi)
    assert (found.point_labels == [1, 0]).all()
    assert (found.points_xy[:, 1] == [7, 123]).all()
    for (x, y), region in zip(found.points_xy[:, 0], found.regions, strict=True):
        left, top, _, _ = region.bbox_xywh
        assert region.mask[round(float(y)) - top, round(float(x)) - left]


def test_regions_do_not_overlap(prompter: Prompter, nucleus: Make, scene: Make) -> None:
    made = scene(cells(nucleus), (310, 400))
    regions = run(prompter, made.dapi).regions
    painted = np.zeros(made.dapi.shape, int)
    for region in regions:
        x, y, w, h = region.bbox_xywh
        painted[y : y + h, x : x + w] += region.mask
    # outlines are smoothed on their own when enlarged: neighbours may share a seam, not more
    assert (painted > 1).sum() < 0.002 * (painted > 0).sum()


def test_the_same_frame_gives_the_same_prompts(prompter: Prompter, nucleus: Make, scene: Make) -> None:
    dapi = scene(cells(nucleus), (310, 400)).dapi
    one, two = run(prompter, dapi), run(prompter, dapi.copy())
    assert np.array_equal(one.points_xy, two.points_xy)


@pytest.mark.parametrize("tilt", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(60, 80), (500, 600)])
def test_noise_alone_holds_no_nucleus_even_under_uneven_light(prompter: Prompter, tilt: float, shape: tuple[int, int], scene: Make) -> None:
    assert len(run(prompter, scene([], shape, tilt=tilt).dapi)) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "share"), [("watershed", 0.9), ("region-growing", 0.8), ("split-merge", 0.5)])
def test_most_nuclei_of_a_simulated_slide_are_found(name: str, share: float) -> None:
    frame = simulate_frame(SlideModel(), np.random.default_rng(11), 900, 1000, 60)
    found = run(Host.discover().build("prompter", name), frame.planes[0])  # type: ignore[arg-type]
    painted = label_image(found.regions, 900, 1000)
    both = np.zeros((len(frame.truth) + 1, len(found) + 1))
    np.add.at(both, (frame.labels, painted), 1)
    iou = both[1:, 1:] / (both.sum(1)[1:, None] + both.sum(0)[None, 1:] - both[1:, 1:])
    assert (iou.max(1) >= 0.5).mean() >= share
    assert (iou.max(0) >= 0.5).mean() >= share
