"""Filter ``example-filter``: the contract of all filters, and tests of this one."""

from __future__ import annotations

import numpy as np
from cacapp import Shapes
from cacapp.testing import FilterContract

from cacapp_example.filter import ExampleFilter


class TestExampleFilter(FilterContract):
    algorithm = ExampleFilter


def test_elongated_and_irregular_nuclei_are_rejected_each_with_its_reason() -> None:
    length, solidity = np.array([40.0, 90.0, 40.0]), np.array([0.97, 0.97, 0.6])
    shapes = Shapes(np.full(3, 900.0), length, np.full(3, 36.0), np.full(3, 0.9), solidity, np.zeros(3, bool))
    assert ExampleFilter().judge(shapes) == [None, "too long", "irregular"]
