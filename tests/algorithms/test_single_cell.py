"""The single-cell filter rejects by each shape feature, in µm where the pixel size is known, else against the frame's own population."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacapp import host as guard
from cacapp.algorithms.single_cell import SingleCell
from cacapp.types import Shapes

# a nucleus of 8 µm at 0.1 µm a pixel
NORMAL = {"area_px": 5026.0, "length_px": 80.0, "width_px": 80.0, "roundness": 0.95, "solidity": 0.97}


def shapes(*changes: dict[str, float], pixel_size_um: float | None = 0.1) -> Shapes:
    rows = [NORMAL | change for change in changes]
    columns = {name: np.array([row[name] for row in rows]) for name in NORMAL}
    return Shapes(**columns, on_edge=np.zeros(len(rows), bool), pixel_size_um=pixel_size_um)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"area_px": 300.0}, "area below the minimum"),
        ({"area_px": 60000.0}, "area above the maximum"),
        ({"width_px": 10.0}, "width below the minimum"),
        ({"length_px": 400.0}, "length above the maximum"),
        ({"roundness": 0.2}, "not round"),
        ({"solidity": 0.6}, "not solid"),
    ],
)
def test_each_feature_has_its_reason(change: dict[str, float], reason: str | None) -> None:
    reasons, _ = guard.judge(SingleCell(), shapes(change, {}))
    assert reasons == [reason, None]


@pytest.mark.parametrize("pixel_size_um", [0.05, 0.1, 0.4])
def test_bounds_in_um_hold_at_any_magnification(pixel_size_um: float) -> None:
    def sized(diameter_um: float) -> dict[str, float]:
        side = diameter_um / pixel_size_um
        return {"area_px": np.pi / 4 * side**2, "length_px": side, "width_px": side}

    reasons, limits = guard.judge(SingleCell(), shapes(*map(sized, (2.0, 5.0, 8.0, 14.0, 30.0)), pixel_size_um=pixel_size_um))
    assert reasons == ["area below the minimum", None, None, None, "area above the maximum"]
    assert limits["max_area_um2"] == SingleCell().max_area_um2
    assert not any(name.endswith("_px") for name in limits)


@given(st.floats(5, 500), st.floats(0.5, 200))
def test_the_area_is_judged_exactly_at_its_bounds(low: float, span: float) -> None:
    one = SingleCell(min_area_um2=low, max_area_um2=low + span)
    areas = np.array([low * 0.999, low * 1.001, (low + span) * 0.999, (low + span) * 1.001]) / 0.01
    reasons, _ = guard.judge(one, shapes(*({"area_px": a} for a in areas)))
    assert reasons[0] == "area below the minimum"
    assert reasons[3] == "area above the maximum"
    if span > 0.01 * low:
        assert reasons[1:3] == [None, None]


@pytest.mark.parametrize("zoom", [1.0, 3.0])
def test_without_pixel_size_the_population_sets_the_bounds(zoom: float) -> None:
    rng = np.random.default_rng(0)
    sides = 40 * zoom * np.exp(rng.normal(0, 0.08, 60))
    sides[:2] = 5 * zoom, 300 * zoom
    given = shapes(*({"area_px": s * s * 0.78, "length_px": s, "width_px": s} for s in sides), pixel_size_um=None)
    reasons, limits = guard.judge(SingleCell(), given)
    assert reasons[0] == "area below the minimum"
    assert reasons[1] == "area above the maximum"
    assert reasons[2:] == [None] * 58
    assert limits["min_area_px"] < np.median(given.area_px) < limits["max_area_px"]
    assert not any(name.endswith(("_um", "_um2")) for name in limits)


def test_a_few_giants_do_not_widen_the_populations_bounds() -> None:
    ordinary = [{"area_px": 1000.0 + n} for n in range(40)]
    _, alone = guard.judge(SingleCell(), shapes(*ordinary, pixel_size_um=None))
    _, beside = guard.judge(SingleCell(), shapes(*ordinary, *([{"area_px": 90000.0}] * 8), pixel_size_um=None))
    assert beside["max_area_px"] == pytest.approx(alone["max_area_px"], rel=0.1)


def test_equal_cells_still_have_room_around_them() -> None:
    _, limits = guard.judge(SingleCell(), shapes(*[{}] * 5, pixel_size_um=None))
    assert limits["min_area_px"] < 0.8 * NORMAL["area_px"]
    assert limits["max_area_px"] > 1.2 * NORMAL["area_px"]


@pytest.mark.parametrize("pixel_size_um", [0.1, None])
def test_a_frame_without_cells_gives_no_error(pixel_size_um: float | None) -> None:
    reasons, limits = guard.judge(SingleCell(), shapes(pixel_size_um=pixel_size_um))
    assert reasons == []
    assert "min_roundness" in limits


@given(st.lists(st.floats(1, 1e5), min_size=1, max_size=8), st.sampled_from([None, 0.1]))
def test_the_limits_stored_are_those_judged_by(areas: list[float], pixel_size_um: float | None) -> None:
    given_shapes = shapes(*({"area_px": a} for a in areas), pixel_size_um=pixel_size_um)
    reasons, limits = guard.judge(SingleCell(), given_shapes)
    unit, values = ("um2", given_shapes.area_um2) if pixel_size_um else ("px", given_shapes.area_px)
    for reason, value in zip(reasons, values, strict=True):  # type: ignore[arg-type]
        assert (reason == "area below the minimum") == (value < limits[f"min_area_{unit}"])
        assert (reason == "area above the maximum") == (value > limits[f"max_area_{unit}"])
