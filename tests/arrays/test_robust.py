"""The robust standard deviation is that of a normal distribution, whatever a few outliers do."""

import numpy as np
import pytest

from cacapp.arrays.robust import MAD_TO_SD, robust_sd


def test_for_normal_values_it_is_their_standard_deviation() -> None:
    values = np.random.default_rng(0).normal(50.0, 3.0, 100_000)
    values[:1000] = 1e6
    assert robust_sd(values) == pytest.approx(3.0, rel=0.03)


def test_the_centre_may_be_given() -> None:
    assert robust_sd(np.array([-1.0, 1.0, 3.0]), 0.0) == MAD_TO_SD
