"""Light of other channels at a dot's place, and dots of different probes at one place."""

import numpy as np

from cacapp.fish.probability.other_light import same_place, second_light

SIGMA_PX = 2.0


def plane(height: float, at: tuple[float, float] = (30.0, 30.0), ground: float = 100.0) -> np.ndarray:
    rows, cols = np.mgrid[:60, :60]
    return ground + 2.0 * cols + height * np.exp(-((rows - at[0]) ** 2 + (cols - at[1]) ** 2) / (2 * SIGMA_PX**2))


def second(**planes: np.ndarray) -> float:
    return float(second_light(planes, "red", np.array([[30.0, 30.0]]), np.array([1000.0]), SIGMA_PX, 2.0)[0])


def test_the_second_brightest_of_the_other_channels_is_given_in_heights_of_the_dot() -> None:
    assert abs(second(red=plane(1000), aqua=plane(600), green=plane(900), gold=plane(200)) - 0.6) < 0.01


def test_bleed_through_into_one_channel_and_a_slope_are_no_light() -> None:
    assert abs(second(red=plane(1000), aqua=plane(0), green=plane(0), gold=plane(900))) < 0.01


def test_light_a_little_beside_the_dot_is_found() -> None:
    assert second(red=plane(1000), aqua=plane(800, (31.4, 31.4)), green=plane(800, (28.6, 30.0)), gold=plane(0)) > 0.6


def test_with_one_other_channel_nothing_is_known() -> None:
    assert second(red=plane(1000), green=plane(1000)) == 0


def test_a_dot_at_the_edge_of_the_frame_is_no_error() -> None:
    planes = {c: plane(500, (0, 0)) for c in ("red", "green", "gold")}
    assert np.isfinite(second_light(planes, "red", np.array([[0.0, 59.0]]), np.array([1000.0]), SIGMA_PX, 2.0)).all()


def test_dots_meet_in_one_nucleus_and_of_two_channels_alone() -> None:
    yx = [np.array([[0.0, 0.0], [0.0, 1.0], [50.0, 50.0]]), np.array([[1.0, 0.0], [50.0, 51.0]])]
    met = same_place(yx, [np.array([0, 0, 1]), np.array([0, 2])], 2.0)
    assert [m.tolist() for m in met] == [[True, True, False], [True, False]]
