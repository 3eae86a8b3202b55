"""Shape features of disks, ellipses and rectangles are those of geometry."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cacapp.arrays.shapes import centroids, deepest_point, perimeter, shapes_of, typical_diameter
from cacapp.types import Array, Instance, Shapes

Draw = Callable[..., Array]
Place = Callable[..., Instance]
radii = st.floats(4, 60)
angles = st.floats(0, np.pi)


def features(mask: Array, at: Place) -> Shapes:
    return shapes_of([at(mask, 5, 5)], 1000, 1000, None)


def ellipse_perimeter(a: float, b: float) -> float:
    """Ramanujan's second approximation, exact to 1e-5 at these axes."""
    h = ((a - b) / (a + b)) ** 2
    return float(np.pi * (a + b) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h))))


@given(radius=radii, dy=st.floats(-0.5, 0.5), dx=st.floats(-0.5, 0.5))
def test_a_disk_has_its_area_perimeter_and_diameter_wherever_its_centre_lies(
    radius: float, dy: float, dx: float, ellipse: Draw, at: Place
) -> None:
    mask = ellipse(radius, radius, 0.0, (dy, dx))
    found = features(mask, at)
    assert found.area_px[0] == mask.sum()
    assert perimeter(mask) == pytest.approx(2 * np.pi * radius, abs=np.pi)  # a radius half a pixel off
    assert found.length_px[0] == pytest.approx(2 * radius, abs=1.5)
    assert found.width_px[0] == pytest.approx(2 * radius, abs=1.5)
    assert found.roundness[0] > 0.88
    assert found.solidity[0] > 0.88


@given(long=st.floats(10, 60), ratio=st.floats(1, 3), angle=angles)
def test_the_perimeter_of_a_rotated_ellipse_is_right_within_half_a_pixel_of_its_radius(
    long: float, ratio: float, angle: float, ellipse: Draw
) -> None:
    assume(long / ratio >= 6)
    assert perimeter(ellipse(long, long / ratio, angle)) == pytest.approx(ellipse_perimeter(long, long / ratio), rel=0.02, abs=np.pi)


@given(long=st.floats(20, 60), ratio=st.floats(1, 3), angle=angles)
def test_the_roundness_of_an_ellipse_follows_from_its_axes(long: float, ratio: float, angle: float, ellipse: Draw, at: Place) -> None:
    assume(long / ratio >= 10)
    truth = 4 * np.pi * np.pi * long * long / ratio / ellipse_perimeter(long, long / ratio) ** 2
    assert features(ellipse(long, long / ratio, angle), at).roundness[0] == pytest.approx(truth, rel=0.06)


@given(length=st.floats(16, 80), ratio=st.floats(1.2, 4), angle=angles)
def test_length_and_width_of_a_rotated_rectangle_do_not_depend_on_its_angle(
    length: float, ratio: float, angle: float, rectangle: Draw, at: Place
) -> None:
    assume(length / ratio >= 6)
    found = features(rectangle(length, length / ratio, angle), at)
    assert found.length_px[0] == pytest.approx(length, abs=2)
    assert found.width_px[0] == pytest.approx(length / ratio, abs=2)


@given(height=st.integers(5, 60), width=st.integers(5, 60))
def test_an_upright_rectangle_is_exact_but_for_croftons_four_directions(height: int, width: int) -> None:
    found = shapes_of([Instance((3, 3, width, height), np.ones((height, width), bool))], 100, 100, None)
    assert found.area_px[0] == height * width
    assert (found.length_px[0], found.width_px[0]) == pytest.approx((max(height, width), min(height, width)), abs=1e-3)
    assert found.solidity[0] == 1
    # four directions measure an upright side at π/8 (1 + √2) = 0.948 of its length
    assert perimeter(np.ones((height, width), bool)) == pytest.approx(0.948 * 2 * (height + width), abs=2.5)


def test_a_disk_is_rounder_than_an_ellipse_and_that_rounder_than_a_rod(ellipse: Draw, rectangle: Draw, at: Place) -> None:
    disk, oval, rod = (features(m, at).roundness[0] for m in (ellipse(20, 20), ellipse(30, 15, 0.4), rectangle(80, 10, 0.4)))
    assert 1 >= disk > oval + 0.1
    assert oval > rod + 0.2


@given(long=st.floats(16, 50), ratio=st.floats(1, 2), angle=angles)
def test_convex_shapes_are_solid(long: float, ratio: float, angle: float, ellipse: Draw, rectangle: Draw, at: Place) -> None:
    assert features(ellipse(long, long / ratio, angle), at).solidity[0] > 0.92
    assert features(rectangle(2 * long, 2 * long / ratio, angle), at).solidity[0] > 0.92


@pytest.mark.parametrize(("side", "cut"), [(40, 20), (60, 20), (60, 45)])
def test_the_solidity_of_an_l_shape_is_that_of_geometry(side: int, cut: int, at: Place) -> None:
    mask = np.ones((side, side), bool)
    mask[:cut, :cut] = False
    truth = (side**2 - cut**2) / (side**2 - cut**2 / 2)
    assert features(mask, at).solidity[0] == pytest.approx(truth, abs=0.02)


def test_two_disks_that_touch_are_not_solid(at: Place) -> None:
    y, x = np.mgrid[:50, :90]
    mask = ((y - 25) ** 2 + (x - 23) ** 2 <= 400) | ((y - 25) ** 2 + (x - 63) ** 2 <= 400)
    truth = 2 * np.pi / (np.pi + 4)  # two disks of radius r over a stadium of length 4r
    assert features(mask, at).solidity[0] == pytest.approx(truth, abs=0.03)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 7), (2, 2), (7, 1)])
def test_single_pixels_and_lines_have_finite_features(shape: tuple[int, int]) -> None:
    found = shapes_of([Instance((3, 3, shape[1], shape[0]), np.ones(shape, bool))], 20, 20, None)
    assert (found.area_px[0], found.length_px[0], found.width_px[0]) == (shape[0] * shape[1], max(shape), min(shape))
    assert 0 < found.roundness[0] <= 1
    assert found.solidity[0] == 1


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_any_mask_has_features_in_range(mask: Array) -> None:
    assume(mask.any())
    found = shapes_of([Instance((0, 0, mask.shape[1], mask.shape[0]), mask)], 12, 12, None)
    assert found.area_px[0] == mask.sum()
    assert 0 < found.width_px[0] <= found.length_px[0] <= np.hypot(*mask.shape) + 1
    assert 0 < found.roundness[0] <= 1
    assert 0 < found.solidity[0] <= 1


@pytest.mark.parametrize(
    ("left", "top", "edge"), [(0, 5, True), (5, 0, True), (90, 5, True), (5, 40, True), (1, 1, False), (89, 39, False)]
)
def test_an_instance_is_on_the_edge_where_its_box_reaches_it(left: int, top: int, edge: bool) -> None:
    found = shapes_of([Instance((left, top, 10, 10), np.ones((10, 10), bool))], 50, 100, 0.1)
    assert found.on_edge.tolist() == [edge]
    assert found.area_um2 == pytest.approx([1.0])


def test_no_instances_have_no_shapes_and_no_centres() -> None:
    assert len(shapes_of([], 50, 50, None)) == 0
    assert shapes_of([], 50, 50, None).on_edge.shape == (0,)
    assert centroids([]).shape == (0, 2)


@given(arrays(bool, (9, 14)), st.integers(0, 50), st.integers(0, 50))
def test_the_centroid_is_the_mean_of_the_pixels(mask: Array, left: int, top: int) -> None:
    assume(mask.any())
    truth = np.argwhere(mask).mean(0) + np.array([top, left])
    assert centroids([Instance((left, top, 14, 9), mask)])[0] == pytest.approx(truth)


def test_the_deepest_point_of_a_disk_is_its_centre(ellipse: Draw) -> None:
    assert deepest_point(ellipse(12, 12)) == pytest.approx((15, 15))


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_the_deepest_point_lies_on_the_mask(mask: Array) -> None:
    assume(mask.any())
    x, y = deepest_point(mask)
    assert mask[round(y), round(x)]


def test_the_deepest_point_of_a_ring_lies_on_the_ring_half_way_between_its_rims() -> None:
    y, x = np.mgrid[-23:24, -23:24]
    ring = (np.hypot(y, x) <= 20) & (np.hypot(y, x) > 10)
    px, py = deepest_point(ring)
    assert ring[round(py), round(px)]
    assert np.hypot(px - 23, py - 23) == pytest.approx(15, abs=1.5)


def test_the_typical_diameter_is_that_of_the_nuclei_however_many_specks_there_are() -> None:
    nuclei, specks = np.full(20, np.pi / 4 * 30**2), np.full(200, 5.0)
    assert typical_diameter(np.concatenate([specks, nuclei])) == pytest.approx(30)
    assert typical_diameter(np.zeros(0)) == 0
