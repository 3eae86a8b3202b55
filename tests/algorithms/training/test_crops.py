"""Crops of training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cacapp.algorithms.training.crops import Crops, cut, small_frame, validation_crops
from cacapp.algorithms.training.samples import Scaled
from cacapp.types import UNKNOWN, Array

SIDE = 64


def stored(path: Path, labels: Array, grey: Array | None = None) -> Scaled:
    grey = np.where(labels > 0, 200, 10) if grey is None else grey
    np.save(path, np.stack([grey, labels]).astype(np.int16))
    centres = [np.argwhere(labels == value).mean(axis=0) for value in range(1, int(labels.max()) + 1)]
    return Scaled(path, (0, labels.shape[0]), np.array(centres, np.float32).reshape(-1, 2), *labels.shape)


@pytest.fixture
def ellipse(tmp_path: Path) -> Scaled:
    """One ellipse of half axes 12 and 20 px in the middle of 200 x 200 px."""
    rows, columns = np.mgrid[:200, :200]
    return stored(tmp_path / "one.npy", (((rows - 100) / 12) ** 2 + ((columns - 100) / 20) ** 2 <= 1).astype(int))


def test_inside_the_image_a_crop_is_its_pixels(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (200, 200))
    one = stored(tmp_path / "noise.npy", grey % 5, grey)
    image, labels = cut(one, np.array([100, 90]), 65)
    assert np.array_equal(image, grey[68:133, 58:123])
    assert np.array_equal(labels, grey[68:133, 58:123] % 5)


def test_beyond_the_edge_pixels_are_mirrored_and_nothing_is_known(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (100, 100))
    one = stored(tmp_path / "noise.npy", np.ones((100, 100), int), grey)
    image, labels = cut(one, np.array([0, 50]), 65)
    assert (labels[:32] == UNKNOWN).all()
    assert (labels[32:] == 1).all()
    assert np.array_equal(image[:32], image[33:][::-1])


@pytest.mark.parametrize("angle_deg", [0, 37, 90, 200])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scale", [0.6, 1.0, 1.4])
def test_a_turned_nucleus_keeps_its_shape_and_is_scaled(ellipse: Scaled, angle_deg: float, flip: bool, scale: float) -> None:
    image, labels = cut(ellipse, np.array([100, 100]), SIDE, scale, angle_deg, flip)
    rows, columns = np.nonzero(labels == 1)
    assert len(rows) == pytest.approx(np.pi * 12 * 20 * scale**2, rel=0.03)
    spread = np.sqrt(np.linalg.eigvalsh(np.cov(rows, columns)))
    assert 2 * spread == pytest.approx(np.array([12, 20]) * scale, rel=0.04)
    assert (rows.mean(), columns.mean()) == pytest.approx((31.5, 31.5), abs=0.7)
    assert (image[labels == 1] > 100).mean() > 0.95


def test_the_same_generator_draws_the_same_crop(ellipse: Scaled) -> None:
    crops = Crops([ellipse], SIDE)
    for seed in range(20):
        (image, labels), (again, same) = (crops.draw(np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(image, again)
        assert np.array_equal(labels, same)
        assert image.dtype == np.uint8
        assert image.shape == labels.shape == (SIDE, SIDE)


def test_most_crops_show_a_nucleus(ellipse: Scaled) -> None:
    crops = Crops([ellipse], SIDE)
    assert np.mean([(crops.draw(np.random.default_rng(seed))[1] > 0).any() for seed in range(60)]) > 0.7


def test_an_image_smaller_than_a_crop_is_taken(tmp_path: Path) -> None:
    labels = np.zeros((20, 30), int)
    labels[5:15, 10:20] = 1
    one = stored(tmp_path / "small.npy", labels)
    for seed in range(10):
        image, seen = Crops([one], SIDE).draw(np.random.default_rng(seed))
        assert image.shape == (SIDE, SIDE)
        assert (seen == UNKNOWN).any()


def test_a_smaller_frame_is_part_of_the_crop_and_even_around_it() -> None:
    image = np.random.default_rng(0).integers(1, 200, (64, 64)).astype(np.uint8)
    labels = np.ones((64, 64), np.int16)
    for seed in range(20):
        whole, seen = small_frame(np.random.default_rng(seed), image, labels)
        assert np.array_equal(whole[seen == 1], image[seen == 1])
        assert len(np.unique(whole[seen == 0])) <= 1
        assert (seen == 1).mean() > 0.05


def test_held_crops_come_from_every_image_with_nuclei(ellipse: Scaled, tmp_path: Path) -> None:
    empty = stored(tmp_path / "empty.npy", np.zeros((100, 100), int))
    validation = validation_crops([empty, ellipse], SIDE, 5, np.random.default_rng(0))
    assert len(validation) == 5
    assert all((labels == 1).any() for _, labels in validation)
