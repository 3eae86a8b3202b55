"""Nuclei of labelled images: whole single ones, turned and scaled without a change of shape or brightness."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cacapp.exceptions import UsageError
from cacapp.simulation import NucleusBank, SlideModel, simulate_frame
from cacapp.types import Array


def picture(n: int = 30, extra: Array | None = None) -> tuple[Array, Array]:
    """``n`` ellipses of 24 x 30 px that get brighter from left to right, on a background of 20."""
    image, labels = np.full((60, 60 * n), 20, np.uint8), np.zeros((60, 60 * n), np.uint16)
    for i in range(n):
        cv2.ellipse(labels, (60 * i + 30, 30), (15, 12), 20, 0, 360, i + 1, -1)
    ramp = np.tile(np.linspace(100, 160, 60), n).astype(np.uint8)
    image = np.where(labels > 0, ramp[None], image)
    return image, labels


def bank(n: int = 30) -> NucleusBank:
    image, labels = picture(n)
    return NucleusBank.of((image[:, at : at + 360], labels[:, at : at + 360]) for at in range(0, 60 * n, 360))


def test_a_turned_nucleus_has_the_diameter_that_is_asked_for_and_its_own_shape() -> None:
    rng = np.random.default_rng(0)
    for diameter in (40.0, 72.0):
        mask, texture = bank().draw(rng, diameter)
        assert np.sqrt(mask.sum() * 4 / np.pi) == pytest.approx(diameter, rel=0.03)
        (outline,), _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        long_and_short = sorted(cv2.fitEllipse(outline)[1])
        assert long_and_short[1] / long_and_short[0] == pytest.approx(1.25, abs=0.05)
        assert texture[mask].mean() == pytest.approx(1)
        assert (texture[~mask] == 0).all()
        assert mask.any(axis=0).all()
        assert mask.any(axis=1).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint32, np.uint64])
def test_labels_may_be_any_numbers_of_any_type(dtype: type) -> None:
    image, labels = picture()
    pieces = [(image[:, at : at + 360], labels[:, at : at + 360]) for at in range(0, 1800, 360)]
    steps = min(np.iinfo(dtype).max // 40, 10**9)
    assert len(NucleusBank.of((i, part.astype(dtype) * dtype(steps)) for i, part in pieces).masks) == 30


def test_nuclei_that_are_cut_small_dim_or_not_convex_are_left_out() -> None:
    image, labels = np.full((200, 400), 20, np.uint8), np.zeros((200, 400), np.uint16)
    cv2.circle(labels, (0, 60), 15, 1, -1)  # cut by the edge
    cv2.circle(labels, (60, 60), 4, 2, -1)  # small
    cv2.circle(labels, (120, 60), 15, 3, -1)  # dim
    cv2.circle(labels, (180, 60), 15, 4, -1)
    cv2.circle(labels, (208, 60), 15, 4, -1)  # two in one label
    cv2.circle(labels, (300, 60), 15, 5, -1)  # a good one
    image[labels > 0] = 120
    image[labels == 3] = 24
    with pytest.raises(UsageError, match=r"--nuclei: 1 usable nuclei in the labelled images, at least 20 are needed"):
        NucleusBank.of([(image, labels)])


def test_a_frame_shows_the_nuclei_of_the_pictures() -> None:
    drawn, real = (
        simulate_frame(SlideModel().without_light_effects(), np.random.default_rng(1), 320, 320, 4, {"normal": 4}, bank=b)
        for b in (None, bank())
    )
    assert [row.copies for row in real.truth] == [(2, 2, 2, 2)] * 4
    assert not np.array_equal(drawn.labels, real.labels)
    row = real.truth[0]
    inside = real.planes[0][real.labels == row.label].astype(float)
    assert 0.1 < inside.std() / inside.mean() < 0.3  # the ramp from 80 to 140 above the background
