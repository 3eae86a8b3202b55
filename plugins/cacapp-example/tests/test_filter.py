"""Filter ``example-filter``: what every filter promises, and what this one adds."""

from __future__ import annotations

import numpy as np
from cacapp import Shapes
from cacapp.testing import FilterContract

from cacapp_example.filter import ExampleFilter


class TestExampleFilter(FilterContract):
    algorithm = ExampleFilter


def test_long_and_ragged_shapes_are_rejected_each_with_its_reason() -> None:
    length, solidity = np.array([40.0, 90.0, 40.0]), np.array([0.97, 0.97, 0.6])
    shapes = Shapes(np.full(3, 900.0), length, np.full(3, 36.0), np.full(3, 0.9), solidity, np.zeros(3, bool))
    assert ExampleFilter().judge(shapes) == [None, "too long", "ragged"]
