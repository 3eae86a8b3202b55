"""Split signals are one copy, touching copies are two: decided by light, not by distance alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cacapp.fish.signals.copies import split_signals
from cacapp.types import DotPairs, Signals

DIAMETER = 6.5
CELL = np.zeros(3, np.int64)


def dots(*yxa: tuple[float, float, float]) -> Signals:
    table = np.array(yxa, np.float32)
    n = len(table)
    return Signals(table[:, :2], np.full(n, 40, np.float32), table[:, 2], np.full(n, 2, np.float32))


def fit(separation: float, one: float, two: float, better: bool = True) -> DotPairs:
    return DotPairs(np.array([[0, 1]]), np.array([separation]), np.array([[one, two]]), np.array([better]))


def test_without_fits_distance_decides() -> None:
    assert split_signals(dots((0, 0, 1000), (0, 5, 600), (0, 40, 1000)), CELL, DIAMETER)[0].tolist() == [False, True, False]
    assert split_signals(dots((0, 0, 1000), (0, 8, 600), (0, 40, 1000)), CELL, DIAMETER)[0].tolist() == [False, False, False]


def test_two_full_dots_that_touch_are_two_copies_and_two_halves_are_one() -> None:
    full, halves = dots((0, 0, 1000), (0, 5.5, 950), (0, 40, 1000)), dots((0, 0, 600), (0, 5.5, 580), (0, 40, 1000))
    assert split_signals(full, CELL, DIAMETER, fit(5.5, 1000, 950))[0].tolist() == [False, False, False]
    assert split_signals(halves, CELL, DIAMETER, fit(5.5, 600, 580))[0].tolist() == [False, True, False]


def test_closer_than_three_quarters_of_a_diameter_nothing_is_two() -> None:
    assert split_signals(dots((0, 0, 1000), (0, 4, 950), (0, 40, 1000)), CELL, DIAMETER, fit(4.0, 1000, 950))[0].tolist() == [
        False,
        True,
        False,
    ]


def test_light_that_one_gaussian_explains_is_one_signal_however_far_apart_its_maxima_are() -> None:
    wide = dots((0, 0, 500), (0, 8, 490), (0, 40, 1000))
    assert split_signals(wide, CELL, DIAMETER, fit(8.0, 500, 490, better=False))[0].tolist() == [False, True, False]


def test_without_other_dots_of_the_nucleus_distance_decides() -> None:
    two = dots((0, 0, 1000), (0, 5.5, 950))
    assert split_signals(two, CELL[:2], DIAMETER, fit(5.5, 1000, 950))[0].tolist() == [False, True]


@given(st.floats(0.5, 12), st.floats(100, 3000), st.floats(100, 3000), st.booleans())
def test_the_slack_has_the_sign_of_the_decision(separation: float, one: float, two: float, better: bool) -> None:
    removed, apart = split_signals(
        dots((0, 0, max(one, two)), (0, separation, min(one, two)), (0, 60, 1000)), CELL, DIAMETER, fit(separation, one, two, better)
    )
    assert removed[1] == (apart[1] < 0)
    assert not removed[0]
