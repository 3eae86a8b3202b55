"""The light of one dye in another's channel is learnt from the frame and taken off; a weak signal under a strong one survives."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cacapp.fish.signals.crosstalk import Crosstalk, estimate_crosstalk, unmix
from cacapp.types import Array, Instance

SHAPE = (420, 420)
SIGMA = 2.0
NUCLEI = [Instance((60 * c + 4, 60 * r + 4, 52, 52), np.ones((52, 52), bool)) for r in range(7) for c in range(7)]


def light(places: Array, amplitudes: Array) -> Array:
    """(Y, X) float64 of Gaussian dots without background."""
    plane = np.zeros(SHAPE)
    rows, cols = np.mgrid[-12:13, -12:13]
    for (y, x), amplitude in zip(places, amplitudes, strict=True):
        iy, ix = int(y), int(x)
        dot = np.exp(-((rows + iy - y) ** 2 + (cols + ix - x) ** 2) / (2 * SIGMA**2))
        plane[iy - 12 : iy + 13, ix - 12 : ix + 13] += amplitude * dot
    return plane


def places(rng: np.random.Generator) -> Array:
    """Two dots in each nucleus, one in its upper half."""
    corners = np.array([n.bbox_xywh[1::-1] for n in NUCLEI], float)
    high, low = ((rng.uniform(a, b, len(corners)), rng.uniform(9, 43, len(corners))) for a, b in ((9, 21), (31, 43)))
    return np.concatenate([corners + np.stack(high, axis=1), corners + np.stack(low, axis=1)])


def camera(plane: Array, rng: np.random.Generator, background: float = 500.0, gain: float = 2.0) -> Array:
    return np.rint(rng.poisson((plane + background) / gain) * gain + rng.normal(100, 10, SHAPE)).clip(0, 65535).astype(np.uint16)


def two_dyes(share: float, seed: int = 0, gain: float = 2.0, back: float = 0.0) -> tuple[dict[str, Array], dict[str, Array]]:
    """Planes of two dyes that bleed into each other, and the same without."""
    rng = np.random.default_rng(seed)
    gold, red = (light(places(rng), rng.uniform(700, 4000, 2 * len(NUCLEI))) for _ in range(2))
    seen = {"gold": camera(gold + back * red, rng, gain=gain), "red": camera(red + share * gold, rng, gain=gain)}
    rng = np.random.default_rng(seed + 1)
    return seen, {"gold": camera(gold, rng, gain=gain), "red": camera(red, rng, gain=gain)}


def estimate(planes: dict[str, Array], *pairs: tuple[str, str, float]) -> list[Crosstalk]:
    return estimate_crosstalk(planes, NUCLEI, pairs, SIGMA, 30)


@pytest.mark.parametrize("gain", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("share", [0.03, 0.07, 0.14])
def test_the_share_is_estimated_although_the_receiving_channel_has_signals_of_its_own(share: float, gain: float) -> None:
    found = estimate(two_dyes(share, gain=gain)[0], ("gold", "red", 0.25))[0]
    assert found.share == pytest.approx(share, abs=0.006)
    assert found.n_dots >= 20


@pytest.mark.parametrize("seed", range(4))
def test_without_bleed_through_nothing_is_subtracted(seed: int) -> None:
    planes = two_dyes(0.0, seed)[0]
    found = estimate(planes, ("gold", "red", 0.25))
    assert found[0].share < 0.006
    if found[0].share == 0:
        assert unmix(planes, found)["red"] is planes["red"]


def test_mutual_bleed_through_is_subtracted_in_both_directions() -> None:
    seen, clean = two_dyes(0.12, back=0.08)
    pure = unmix(seen, estimate(seen, ("gold", "red", 0.25), ("red", "gold", 0.25)))
    for channel in ("gold", "red"):
        assert pure[channel].dtype == np.uint16
        before, after = (cv2.blur(p[channel].astype(float) - clean[channel], (5, 5)) for p in (seen, pure))
        assert np.ptp(before) > 2 * np.ptp(after)


def test_a_weak_signal_under_a_strong_one_of_the_bleeding_dye_keeps_its_height() -> None:
    rng = np.random.default_rng(5)
    where = places(rng)
    gold = light(where, np.full(len(where), 3000.0))
    red = light(where[:1], np.array([300.0]))
    planes = {"gold": camera(gold, rng), "red": camera(red + 0.1 * gold, rng)}
    pure = unmix(planes, estimate(planes, ("gold", "red", 0.25)))["red"].astype(float)
    tops = np.array([pure[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].mean() for y, x in where]) - np.median(pure)
    assert tops[0] == pytest.approx(270, abs=60)
    assert np.abs(tops[1:]).max() < 90


def test_an_implausible_share_is_limited_and_too_few_dots_give_none() -> None:
    planes = two_dyes(0.2)[0]
    assert estimate(planes, ("gold", "red", 0.15))[0].share <= 0.15
    few = estimate_crosstalk(planes, NUCLEI[:5], [("gold", "red", 0.25)], SIGMA, 30)[0]
    assert (few.share, few.n_dots) == (0.0, 0)
    assert estimate_crosstalk(planes, [], [("gold", "red", 0.25)], SIGMA, 30)[0].n_dots == 0


def test_8_bit_planes_stay_8_bit() -> None:
    seen = {c: np.clip(p / 20, 0, 255).astype(np.uint8) for c, p in two_dyes(0.1)[0].items()}
    pure = unmix(seen, estimate(seen, ("gold", "red", 0.25)))
    assert pure["red"].dtype == np.uint8


@pytest.mark.parametrize("value", [0, 65535])
def test_planes_of_one_value_have_no_dots_to_learn_from(value: int) -> None:
    planes = {c: np.full(SHAPE, value, np.uint16) for c in ("gold", "red")}
    found = estimate(planes, ("gold", "red", 0.25))
    assert found[0].n_dots == 0
    assert unmix(planes, found)["red"] is planes["red"]
