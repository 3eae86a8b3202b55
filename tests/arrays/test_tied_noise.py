"""The noise of clipped and coarsely stepped pixels is that which they had, or at least that of the steps."""

from __future__ import annotations

import numpy as np
import pytest

from cacapp.arrays.tied_noise import tied, tied_sd
from cacapp.types import Array


def noise(sd: float = 10.0) -> Array:
    return np.random.default_rng(0).normal(0, sd, (30, 640))


def every(values: Array) -> Array:
    return np.ones(values.shape, bool)


@pytest.mark.parametrize("clipped", [0.5, 0.75, 0.9, 0.95, 0.98])
def test_noise_clipped_at_zero_is_found_from_what_is_left(clipped: float) -> None:
    values = np.rint(np.maximum(noise() - np.quantile(noise(), clipped), 0))
    assert np.median(tied_sd(values, every(values))) == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize(("step", "least", "most"), [(16, 8.0, 12.0), (32, 9.0, 22.0), (64, 18.0, 33.0), (100, 28.0, 50.0)])
def test_noise_below_a_step_is_at_least_that_of_rounding(step: int, least: float, most: float) -> None:
    offset = np.random.default_rng(1).uniform(0, step, (30, 1))
    found = tied_sd(np.floor((noise() + offset) / step) * step, every(noise()))
    assert least <= found.min() <= found.max() <= most


def test_dots_that_are_left_out_do_not_change_it() -> None:
    values = np.maximum(noise() - 10, 0)
    free = every(values)
    values[:, :100], free[:, :100] = 500, False
    assert np.median(tied_sd(values, free)) == pytest.approx(10, rel=0.2)


def test_values_without_ties_have_none() -> None:
    assert tied_sd(noise(), every(noise())).tolist() == [0] * 30


def test_a_place_with_nothing_left_takes_the_others_noise_and_else_that_of_a_step() -> None:
    values = np.rint(np.maximum(noise() - 10, 0))
    values[3] = 0
    assert tied_sd(values, every(values))[3] == pytest.approx(10, rel=0.2)
    assert tied_sd(np.zeros((4, 50)), np.ones((4, 50), bool)).tolist() == [0] * 4
    one = np.zeros((4, 50))
    one[0, 0] = 12
    assert tied_sd(one, np.ones((4, 50), bool)) == pytest.approx([12 / np.sqrt(12)] * 4)


def test_the_common_value_is_the_lowest_of_equally_common_ones() -> None:
    mode, share = tied(np.array([[3.0, 1, 3, 1], [7, 7, 7, 2]]))
    assert mode.tolist() == [1, 7]
    assert share.tolist() == [0.5, 0.75]
