"""Nuclei that may not be counted, each with its reason."""

import numpy as np
import pytest

from cacapp.fish.assay.read import load_assay
from cacapp.fish.evaluability import edge_contact_diameters, judge_nuclei, single_nuclei
from cacapp.types import Instance, Shapes

KATZ = load_assay("katz-4color")
DIAMETER_PX = 72.0
PIXEL_UM = 0.12
ONE = np.pi / 4 * DIAMETER_PX**2


def shapes(*rows: tuple[float, float, float], edge=None, pixel_size_um: float | None = PIXEL_UM, n_single: int = 30) -> Shapes:
    """``rows`` are (area in single nuclei, solidity, length over width); ``n_single`` ordinary nuclei follow."""
    rng = np.random.default_rng(0)
    ordinary = [(a, 0.97, 1.1) for a in rng.normal(1, 0.08, n_single)]
    table = np.array([*rows, *ordinary]).reshape(-1, 3)
    area, solidity, elongation = table.T
    width = np.sqrt(area * ONE / elongation * 4 / np.pi)
    on_edge = np.zeros(len(table), bool)
    on_edge[: len(edge or [])] = edge or []
    return Shapes(area * ONE, width * elongation, width, np.full(len(table), 0.9), solidity, on_edge, pixel_size_um)


def judge(*rows, focus=None, **kwargs) -> list[str | None]:
    s = shapes(*rows, **kwargs)
    return judge_nuclei(s, focus, KATZ)[: len(rows)]


def two_disks(distance: float) -> tuple[float, float, float]:
    """(area, solidity, elongation) of two equal disks, centres ``distance`` diameters apart, by geometry."""
    r = 0.5
    lens = 2 * r**2 * np.arccos(min(1, distance / (2 * r))) - distance / 2 * np.sqrt(max(0, 4 * r**2 - distance**2))
    union = 2 * np.pi * r**2 - lens
    hull = np.pi * r**2 + 2 * r * distance
    return union / (np.pi * r**2), union / hull, 1 + distance


def test_ordinary_nuclei_are_evaluable() -> None:
    assert judge_nuclei(shapes(), None, KATZ) == [None] * 30


def test_a_nucleus_on_the_frame_edge_is_not_evaluable() -> None:
    assert judge((1, 0.97, 1.1), edge=[True]) == ["edge"]


@pytest.mark.parametrize(("beyond_px", "contact"), [(-1, 0.0), (0, 0.0), (1, 0.22), (4, 0.43), (36, 1.0)])
@pytest.mark.parametrize("turns", range(4))
def test_contact_with_the_frame_edge_is_the_chord_that_cuts_the_nucleus(beyond_px: int, contact: float, turns: int) -> None:
    """A disk of 72 px that lies so far beyond one edge of its frame; the chord by geometry, in diameters of what is left."""
    y, x = np.mgrid[:200, :200]
    frame = np.rot90((y - 100) ** 2 + (x - 36 + beyond_px) ** 2 < 36**2, turns)
    rows, columns = np.flatnonzero(frame.any(1)), np.flatnonzero(frame.any(0))
    mask = frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    nucleus = Instance((int(columns[0]), int(rows[0]), mask.shape[1], mask.shape[0]), mask)
    left = 2 * np.sqrt(np.count_nonzero(mask) / np.pi)
    chord = 2 * np.sqrt(max(0.0, 36**2 - (36 - beyond_px) ** 2))
    assert edge_contact_diameters(nucleus, 200, 200) == pytest.approx(chord / left, abs=0.03)
    assert (edge_contact_diameters(nucleus, 200, 200) <= KATZ.nuclei.max_edge_contact_diameters) == (contact < 0.25)


@pytest.mark.parametrize("distance", [1.0, 0.95, 0.9, 0.85, 0.8, 0.7])
def test_a_doublet_taken_for_one_nucleus_is_an_aggregate(distance: float) -> None:
    # Its signals add up to 4,4,4,4: a false CAC.
    assert judge(two_disks(distance)) == ["aggregate"]


def test_a_doublet_whose_neck_the_segmentation_filled_is_an_aggregate_by_its_length() -> None:
    assert judge((2.1, 0.97, 1.95)) == ["aggregate"]


def test_a_small_doublet_is_an_aggregate_by_its_waist_and_length() -> None:
    assert judge((1.3, 0.93, 1.84)) == ["aggregate"]


@pytest.mark.parametrize("elongation", [1.2, 1.7, 1.9])
def test_a_large_nucleus_without_a_waist_is_evaluable(elongation: float) -> None:
    assert judge((1.7, 0.98, elongation)) == [None]


@pytest.mark.parametrize("area", [2 ** (2 / 3), 1.8, 2.2])
def test_a_round_tetraploid_nucleus_is_evaluable(area: float) -> None:
    assert judge((area, 0.97, 1.1)) == [None]


def test_no_single_nucleus_is_three_times_the_others() -> None:
    assert judge((3.2, 0.98, 1.1)) == ["aggregate"]


def test_an_elongated_nucleus_of_ordinary_size_is_no_aggregate() -> None:
    assert judge((1, 0.97, 1.9)) == [None]


def test_the_area_gate_is_in_um2_where_the_pixel_size_is_known() -> None:
    one_um2 = ONE * PIXEL_UM**2
    assert judge((11.9 / one_um2, 0.97, 1.1), (12.1 / one_um2, 0.97, 1.1)) == ["area", None]
    assert judge((251 / one_um2, 0.97, 1.1)) == ["area"]


def test_the_area_gate_is_in_medians_where_it_is_not() -> None:
    assert judge((0.28, 0.97, 1.1), (0.32, 0.97, 1.1), (4.5, 0.97, 1.1), pixel_size_um=None) == ["area", None, "area"]


def test_a_ragged_outline_is_not_evaluable_at_any_size() -> None:
    assert judge((1, 0.87, 1.1), (1, 0.89, 1.1)) == ["solidity", None]


def test_a_blurred_nucleus_is_not_evaluable_and_an_unknown_focus_passes() -> None:
    focus = np.concatenate([[0.3, 0.4, np.nan], np.ones(30)])
    assert judge(*[(1, 0.97, 1.1)] * 3, focus=focus) == ["focus", None, None]


def test_the_reason_is_the_first_that_applies() -> None:
    assert judge((2, 0.8, 1.9), (2, 0.8, 1.9), edge=[True, False]) == ["edge", "aggregate"]


def test_a_shared_signal_excludes_what_nothing_else_does() -> None:
    s = shapes((1, 0.97, 1.1), (1, 0.97, 1.1), edge=[True, False])
    shared = np.zeros(len(s), bool)
    shared[:2] = True
    assert judge_nuclei(s, None, KATZ, in_overlap=shared)[:3] == ["edge", "shared_signal", None]


def test_aggregates_and_fragments_do_not_shift_the_population() -> None:
    junk = [two_disks(0.9)] * 12 + [(0.35, 0.97, 1.1)] * 10 + [(2.2, 0.98, 1.1)] * 6
    assert single_nuclei(shapes(*junk), None, KATZ).area_px == pytest.approx(ONE, rel=0.06)


def test_an_outline_without_concavities_is_an_aggregate_only_by_its_size() -> None:
    s = shapes((2.1, 0.90, 1.9), (2.1, 0.90, 1.9), (3.5, 0.97, 1.1))
    undivided = np.zeros(len(s), bool)
    undivided[[1, 2]] = True
    assert judge_nuclei(s, None, KATZ, undivided=undivided)[:3] == ["aggregate", None, "aggregate"]


def test_a_population_too_small_gates_nothing_relative_to_it() -> None:
    assert judge((2.1, 0.90, 1.9), n_single=4) == [None]
    population = single_nuclei(shapes(), None, KATZ)
    alone = shapes((2.1, 0.90, 1.9), n_single=0)
    assert judge_nuclei(alone, None, KATZ, population=population) == ["aggregate"]


def test_without_nuclei_there_are_no_reasons() -> None:
    assert judge_nuclei(shapes(n_single=0), np.zeros(0), KATZ, in_overlap=np.zeros(0, bool)) == []


def test_a_focus_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="focus has 3 values for 30 nuclei"):
        judge_nuclei(shapes(), np.ones(3), KATZ)


def counted(*rows: tuple[int, ...]) -> np.ndarray:
    """Counts of the given nuclei, then 2,2,2,2 for the 30 ordinary ones."""
    return np.array([*rows, *[(2, 2, 2, 2)] * 30])


def test_a_nucleus_without_any_signal_is_not_evaluable() -> None:
    s = shapes((1, 0.97, 1.1), (1, 0.97, 1.1))
    assert judge_nuclei(s, None, KATZ, counts=counted((0, 0, 0, 0), (0, 2, 2, 2)))[:2] == ["no_signal", None]


def test_an_assay_may_exclude_a_nucleus_without_signal_in_one_channel() -> None:
    strict = KATZ.model_copy(update={"nuclei": KATZ.nuclei.model_copy(update={"exclude_without_signal": True})})
    s = shapes((1, 0.97, 1.1), (1, 0.97, 1.1))
    assert judge_nuclei(s, None, strict, counts=counted((0, 2, 2, 2), (1, 1, 1, 1)))[:2] == ["no_signal", None]


def test_two_hundred_specks_are_no_copies() -> None:
    s = shapes((1, 0.97, 1.1), (1, 0.97, 1.1))
    assert judge_nuclei(s, None, KATZ, counts=counted((2, 200, 2, 2), (2, 20, 2, 2)))[:2] == ["implausible_number", None]


def test_a_saturated_nucleus_is_not_evaluable() -> None:
    s = shapes((1, 0.97, 1.1), (1, 0.97, 1.1))
    share = np.array([0.06, 0.05, *[0.0] * 30])
    assert judge_nuclei(s, None, KATZ, saturated=share)[:2] == ["saturated", None]
