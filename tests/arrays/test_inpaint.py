"""Rejected nuclei are filled with background of the same level, noise and texture; accepted ones stay unchanged."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cacapp.arrays.inpaint import inpaint_background, without_background
from cacapp.types import Array

SHAPE = (300, 360)


def disk(y: float, x: float, radius: float, shape: tuple[int, int] = SHAPE) -> Array:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


REJECTED = disk(100, 100, 24) | disk(220, 250, 30)
ACCEPTED = disk(90, 240, 22) | disk(210, 90, 25)


def frame(level: Array | float, sd: float, glow_px: float = 2.0, dtype: type = np.uint16, light: float = 3000, seed: int = 0) -> Array:
    """Blurred nuclei on a background of this level with Gaussian noise of ``sd``."""
    nuclei = cv2.GaussianBlur((REJECTED | ACCEPTED).astype(np.float32) * light, (0, 0), glow_px)
    noisy = level + nuclei + np.random.default_rng(seed).normal(0, sd, SHAPE)
    return np.clip(np.rint(noisy), 0, np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize(("dtype", "level", "sd", "light"), [(np.uint16, 400, 20, 3000), (np.uint8, 30, 3, 180)])
def test_the_filled_area_has_the_mean_and_the_spread_of_the_background(dtype: type, level: float, sd: float, light: float) -> None:
    dapi = frame(level, sd, dtype=dtype, light=light)
    found = inpaint_background(dapi, REJECTED, ACCEPTED, seed=1)
    assert found.dtype == dtype
    assert found.shape == SHAPE
    assert found[REJECTED].mean() == pytest.approx(level, abs=0.1 * sd)
    assert found[REJECTED].std() == pytest.approx(sd, rel=0.08)


def test_the_halo_around_a_rejected_nucleus_is_filled_too() -> None:
    found = inpaint_background(frame(400, 20, glow_px=5), REJECTED, ACCEPTED, seed=1)
    ring = (disk(100, 100, 34) & ~disk(100, 100, 24)) | (disk(220, 250, 40) & ~disk(220, 250, 30))
    assert found[ring].mean() == pytest.approx(400, abs=4)
    assert found[ring].max() < 400 + 6 * 20


def test_accepted_nuclei_and_the_rest_of_the_frame_do_not_change() -> None:
    dapi = frame(400, 20)
    found = inpaint_background(dapi, REJECTED, ACCEPTED, seed=1)
    assert np.array_equal(found[ACCEPTED], dapi[ACCEPTED])
    far = cv2.distanceTransform((~REJECTED).astype(np.uint8), cv2.DIST_L2, 5) > 40
    assert np.array_equal(found[far], dapi[far])


def test_where_masks_overlap_or_touch_the_accepted_nucleus_stays() -> None:
    rejected, accepted = disk(150, 160, 30), disk(150, 205, 25)
    dapi = np.where(rejected | accepted, 3000, 400).astype(np.uint16)
    found = inpaint_background(dapi, rejected, accepted, seed=1)
    assert (found[accepted] == 3000).all()
    assert (found[rejected & ~accepted] < 500).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_gradient_is_followed(axis: int) -> None:
    ramp = np.broadcast_to(np.linspace(200, 800, SHAPE[axis]).reshape((-1, 1) if axis == 0 else (1, -1)), SHAPE)
    found = inpaint_background(frame(ramp, 10), REJECTED, ACCEPTED, seed=1).astype(float)
    for centre in ((100, 100), (220, 250)):
        here = disk(*centre, 24)
        difference = (found - ramp)[here]
        assert difference.mean() == pytest.approx(0, abs=6)
        assert difference.std() == pytest.approx(10, rel=0.35)


def test_no_step_shows_at_the_border_of_the_filled_area() -> None:
    dapi = frame(400, 20)
    found = inpaint_background(dapi, REJECTED, ACCEPTED, seed=1)
    distance = cv2.distanceTransform((~disk(100, 100, 24)).astype(np.uint8), cv2.DIST_L2, 5)
    inside, outside = disk(100, 100, 24) & ~disk(100, 100, 14), (distance > 14) & (distance < 24)
    assert float(found[inside].mean()) == pytest.approx(float(found[outside].mean()), abs=4)


def test_correlated_noise_keeps_its_texture() -> None:
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, SHAPE), (0, 0), 1.0)
    dapi = np.rint(400 + 3000 * (REJECTED | ACCEPTED) + 20 * noise / noise.std()).astype(np.uint16)
    found = inpaint_background(dapi, REJECTED, ACCEPTED, seed=1).astype(float)

    def neighbours_agree(area: Array) -> float:
        a, b = found[:, :-1][area[:, 1:] & area[:, :-1]], found[:, 1:][area[:, 1:] & area[:, :-1]]
        return float(np.corrcoef(a, b)[0, 1])

    background = ~cv2.dilate((REJECTED | ACCEPTED).astype(np.uint8), np.ones((41, 41), np.uint8)).astype(bool)
    assert neighbours_agree(REJECTED) == pytest.approx(neighbours_agree(background), abs=0.12)


def test_the_seed_decides_the_pixels() -> None:
    dapi = frame(400, 20)
    one, same, other = (inpaint_background(dapi, REJECTED, ACCEPTED, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_without_rejected_nuclei_nothing_changes_and_the_input_never_does() -> None:
    dapi = frame(400, 20)
    dapi.flags.writeable = False
    none = np.zeros(SHAPE, bool)
    found = inpaint_background(dapi, none, ACCEPTED, seed=1)
    assert np.array_equal(found, dapi)
    assert found is not dapi
    inpaint_background(dapi, REJECTED, ACCEPTED, seed=1)


def test_without_accepted_nuclei_all_become_background() -> None:
    found = inpaint_background(frame(400, 20), REJECTED | ACCEPTED, np.zeros(SHAPE, bool), seed=1)
    assert found.max() < 400 + 6 * 20


def test_missed_nuclei_do_not_brighten_the_fill() -> None:
    dapi = frame(400, 20)
    missed = disk(40, 40, 20) | disk(160, 170, 22) | disk(280, 330, 18)
    dapi[missed] = 3000
    found = inpaint_background(dapi, REJECTED, ACCEPTED, seed=1)
    assert found[REJECTED].mean() == pytest.approx(400, abs=8)
    assert (found[missed & (disk(160, 170, 12))] == 3000).all()


def test_a_noiseless_background_is_continued_exactly() -> None:
    dapi = np.where(REJECTED, 200, 7).astype(np.uint8)
    assert (inpaint_background(dapi, REJECTED, np.zeros(SHAPE, bool), seed=1) == 7).all()


@pytest.mark.parametrize("free", [1, 3, 20])
def test_a_little_background_is_enough(free: int) -> None:
    rejected = np.ones((40, 60), bool)
    rejected[:free, :free] = False
    dapi = np.where(rejected, 3000, 100).astype(np.uint16)
    assert (inpaint_background(dapi, rejected, np.zeros((40, 60), bool), seed=1) == 100).all()


def test_without_any_background_nothing_is_filled_and_the_pixels_are_named() -> None:
    accepted = np.zeros((30, 30), bool)
    accepted[:, :10] = True
    rejected = ~accepted
    dapi = np.full((30, 30), 500, np.uint16)
    assert np.array_equal(inpaint_background(dapi, rejected, accepted, seed=1), dapi)
    assert np.array_equal(without_background(rejected, accepted), rejected)
    rejected[0, 29] = False
    assert not without_background(rejected, accepted).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (9, 7), (17, 300)])
def test_small_frames_are_filled_too(shape: tuple[int, int]) -> None:
    rejected = np.zeros(shape, bool)
    rejected[0, 0] = True
    found = inpaint_background(np.full(shape, 50, np.uint8), rejected, np.zeros(shape, bool), seed=0)
    assert (found == 50).all()


def test_out_of_focus_light_around_a_rejected_nucleus_is_filled_without_an_edge() -> None:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    haze = 150 * np.exp(-((rows - 100) ** 2 + (columns - 130) ** 2) / (2 * 50**2))
    dapi = frame(400 + haze, 10)
    found = inpaint_background(dapi, REJECTED, ACCEPTED, seed=1).astype(float)
    outside = disk(100, 100, 60) & ~disk(100, 100, 34) & ~cv2.dilate(ACCEPTED.astype(np.uint8), np.ones((21, 21), np.uint8)).astype(bool)
    assert (found - 400 - haze)[outside].mean() == pytest.approx(0, abs=5)
    # around the nucleus, sector by sector: the haze is brighter on one side, and so is the fill there
    sector = ((np.arctan2(rows - 100, columns - 100) + np.pi) / (2 * np.pi) * 8).astype(int) % 8
    within, beyond = disk(100, 100, 26) & ~disk(100, 100, 20), disk(100, 100, 36) & ~disk(100, 100, 30)
    steps = [found[within & (sector == n)].mean() - found[beyond & (sector == n)].mean() for n in range(8)]
    assert np.abs(steps).max() < 35  # the haze itself falls by 18 over these 10 px
