"""Ratio assays: sums over cells, bands that cover every case, and the patient's verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacapp.fish.assay.ratio import Ratio, ratio_result
from cacapp.fish.assay.read import load_assay
from cacapp.fish.patient import SlideTally, patient_result

HER2 = load_assay("her2-cep17")
assert HER2.ratio is not None
CRITERION: Ratio = HER2.ratio


def slide(red: int, green: int, cells: int = 100) -> SlideTally:
    return SlideTally({"normal": cells}, {}, 0, 0, 0, None, {"red": red, "green": green})


@pytest.mark.parametrize(
    ("red", "green", "outcome", "verdict"),
    [
        (450, 200, "group-1", "ratio consistent with amplification"),
        (400, 200, "group-1", "ratio consistent with amplification"),
        (399, 199, "group-2", "equivocal: count more cells, or another probe"),
        (600, 400, "group-3", "equivocal: count more cells, or another probe"),
        (599, 400, "group-4", "equivocal: count more cells, or another probe"),
        (400, 201, "group-4", "equivocal: count more cells, or another probe"),
        (399, 200, "group-5", "ratio not amplified"),
        (210, 205, "group-5", "ratio not amplified"),
    ],
)
def test_the_five_groups_by_ratio_and_copies_per_cell(red: int, green: int, outcome: str, verdict: str) -> None:
    result = patient_result([slide(red, green)], HER2)
    assert result.ratio is not None
    assert (result.ratio.outcome, result.verdict, result.verdict_without_polyploid) == (outcome, verdict, verdict)
    assert result.ratio.ratio == red / green
    assert result.ratio.copies == red / 100


def test_slides_add_up_before_the_ratio_is_taken() -> None:
    # The mean of the two slides' ratios would be 2.5.
    result = patient_result([slide(400, 100), slide(100, 100)], HER2)
    assert result.ratio is not None
    assert result.ratio.ratio == 2.5 or result.ratio.ratio == 500 / 200
    assert result.ratio.copies == 2.5
    assert patient_result([slide(400, 100, 100), slide(100, 300, 100)], HER2).ratio.ratio == 1.25  # type: ignore[union-attr]


def test_too_few_cells_are_insufficient_whatever_the_ratio() -> None:
    assert patient_result([slide(90, 30, 19)], HER2).verdict == "insufficient"
    assert patient_result([slide(100, 40, 20)], HER2).verdict == "ratio consistent with amplification"


def test_without_a_signal_of_the_reference_there_is_no_ratio() -> None:
    result = patient_result([slide(400, 0)], HER2)
    assert result.verdict == "undetermined"
    assert result.ratio is not None
    assert (result.ratio.ratio, result.ratio.outcome) == (None, None)


def test_the_blood_volume_does_not_matter_to_a_ratio() -> None:
    result = patient_result([slide(450, 200)], HER2)
    assert (result.blood_volume_ul, result.verdict) == (None, "ratio consistent with amplification")


def test_an_assay_without_a_ratio_has_none() -> None:
    assert patient_result([slide(450, 200)], load_assay("katz-4color")).ratio is None


@given(st.integers(0, 5000), st.integers(1, 5000), st.integers(1, 2000))
def test_every_ratio_has_an_outcome(red: int, green: int, cells: int) -> None:
    result = ratio_result(CRITERION, {"red": red, "green": green}, cells)
    assert result.outcome is not None
    assert (result.verdict == "increased") == (red >= 2 * green and red >= 4 * cells)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 2000), st.integers(2, 9))
def test_the_ratio_does_not_depend_on_how_many_cells_are_like_these(red: int, green: int, cells: int, times: int) -> None:
    one, many = (ratio_result(CRITERION, {"red": k * red, "green": k * green}, k * cells) for k in (1, times))
    assert one.ratio == pytest.approx(many.ratio)
    assert one.copies == pytest.approx(many.copies)
