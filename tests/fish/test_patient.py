"""The patient's result: what adds up, the exact interval, and the order of the verdicts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, poisson

from cacapp.exceptions import UsageError
from cacapp.fish.assay.read import load_assay
from cacapp.fish.patient import CallGroup, SlideTally, patient_result, poisson_interval, tally

KATZ = load_assay("katz-4color")


def slide(normal=1000, cacs=0, left_out=0, volume_ul: float | None = 100.0, exclusions=None, review=0) -> SlideTally:
    return SlideTally({"normal": normal, "cac": cacs}, exclusions or {}, review, cacs, left_out, volume_ul)


# Garwood 1936; Ulm 1990, table of exact 95 % limits.
@pytest.mark.parametrize(
    ("k", "low", "high"), [(0, 0, 3.689), (1, 0.0253, 5.572), (3, 0.619, 8.767), (10, 4.795, 18.39), (100, 81.36, 121.6)]
)
def test_the_poisson_interval_is_that_of_the_tables(k: int, low: float, high: float) -> None:
    assert poisson_interval(k, 0.95) == pytest.approx((low, high), rel=5e-4, abs=5e-4)


@given(st.integers(0, 5000), st.floats(0.5, 0.999))
def test_the_poisson_interval_leaves_half_of_the_rest_on_each_side(k: int, confidence: float) -> None:
    low, high = poisson_interval(k, confidence)
    tail = (1 - confidence) / 2
    assert poisson.cdf(k, high) == pytest.approx(tail, rel=1e-6)
    assert high == pytest.approx(chi2.ppf(1 - tail, 2 * k + 2) / 2, rel=1e-9)
    if k:
        assert poisson.sf(k - 1, low) == pytest.approx(tail, rel=1e-6)
    assert low <= k <= high or k == 0


def test_cacs_per_100_ul_use_the_blood_volume_of_the_slide() -> None:
    result = patient_result([slide(cacs=10, volume_ul=250)], KATZ)
    assert result.cacs_per_100ul == 4
    assert (result.cacs_per_100ul_low, result.cacs_per_100ul_high) == pytest.approx((4.795 * 0.4, 18.39 * 0.4), rel=1e-3)
    assert result.verdict == "increased risk (Katz)"


def test_slides_of_one_patient_add_up() -> None:
    slides = [slide(400, 2, 1, 60, {"edge": 5}, 1), slide(300, 1, 0, 40, {"edge": 2, "area": 1}, 2)]
    result = patient_result(slides, KATZ)
    assert (result.evaluable, result.cells, result.cacs, result.cacs_balanced_polyploid) == (703, 711, 3, 1)
    assert result.classes == {"cac": 3, "gain": 0, "loss": 0, "normal": 700, "other": 0, "uncertain": 0}
    assert result.exclusions == {"edge": 7, "area": 1}
    assert (result.needs_review, result.blood_volume_ul, result.cacs_per_100ul) == (3, 100, 3)


@pytest.mark.parametrize(
    ("cacs", "volume_ul", "verdict"),
    [
        (3, 100, "increased risk (Katz)"),
        (2, 100, "not increased (Katz)"),
        (3, 100.1, "not increased (Katz)"),
        (0, 100, "not increased (Katz)"),
        (6, 200, "increased risk (Katz)"),
        (5, 200, "not increased (Katz)"),
        (500, None, "undetermined"),
    ],
)
def test_three_cacs_per_100_ul_is_the_threshold(cacs: int, volume_ul: float | None, verdict: str) -> None:
    assert patient_result([slide(cacs=cacs, volume_ul=volume_ul)], KATZ).verdict == verdict


def test_a_threshold_reached_but_for_rounding_is_reached() -> None:
    slides = [slide(cacs=1, volume_ul=v) for v in (33.3, 33.3, 33.4)]
    assert patient_result(slides, KATZ).verdict == "increased risk (Katz)"


def test_too_few_cells_are_insufficient_whatever_else_is_known() -> None:
    for volume_ul in (100.0, None):
        result = patient_result([slide(normal=489, cacs=10, volume_ul=volume_ul)], KATZ)
        assert result.verdict == result.verdict_without_polyploid == "insufficient"
    assert patient_result([slide(normal=490, cacs=10)], KATZ).verdict == "increased risk (Katz)"


def test_a_smaller_minimum_can_be_given_for_small_slides() -> None:
    result = patient_result([slide(normal=37, cacs=3)], KATZ, min_evaluable_cells=40)
    assert (result.verdict, result.min_evaluable_cells) == ("increased risk (Katz)", 40)
    with pytest.raises(UsageError, match="give 1 or more"):
        patient_result([slide()], KATZ, min_evaluable_cells=0)


def test_one_unknown_volume_leaves_counts_only() -> None:
    result = patient_result([slide(cacs=9), slide(cacs=9, volume_ul=None)], KATZ)
    assert result.cacs == 18
    assert result.blood_volume_ul is result.cacs_per_100ul is result.cacs_per_100ul_low is result.cacs_per_100ul_high is None
    assert result.verdict == "undetermined"


def test_a_patient_can_be_positive_only_by_balanced_polyploids() -> None:
    result = patient_result([slide(cacs=4, left_out=2)], KATZ)
    assert result.verdict == "increased risk (Katz)"
    assert result.verdict_without_polyploid == "not increased (Katz)"
    assert (result.cacs_per_100ul, result.cacs_per_100ul_without_polyploid) == (4, 2)


def test_no_cac_has_the_rule_of_three_for_its_upper_limit() -> None:
    result = patient_result([slide()], KATZ)
    assert result.cacs_per_100ul == result.cacs_per_100ul_low == 0
    assert result.cacs_per_100ul_high == pytest.approx(3.689, abs=1e-3)


def test_a_patient_without_slides_is_insufficient() -> None:
    result = patient_result([], KATZ)
    assert (result.cells, result.blood_volume_ul, result.verdict) == (0, None, "insufficient")


@pytest.mark.parametrize("volume_ul", [0.0, -5.0, float("nan"), float("inf")])
def test_a_volume_that_cannot_be_is_refused(volume_ul: float) -> None:
    with pytest.raises(UsageError, match="blood volume"):
        patient_result([slide(volume_ul=None), slide(volume_ul=volume_ul)], KATZ)


def test_the_tally_counts_classes_exclusions_cacs_and_reviews() -> None:
    groups = [
        CallGroup("normal", None, False, True, None, False, 40),
        CallGroup("cac", None, True, True, None, True, 2),
        CallGroup("cac", "balanced_polyploid", True, True, None, False, 3),
        CallGroup(None, None, False, False, "edge", False, 5),
        CallGroup(None, None, False, False, None, False, 1),
    ]
    t = tally(groups, KATZ, 50)
    assert (t.classes, t.exclusions, t.blood_volume_ul) == ({"cac": 5, "normal": 40}, {"edge": 5, "unknown": 1}, 50)
    assert (t.cells, t.evaluable, t.needs_review, t.cacs, t.cacs_left_out) == (51, 45, 2, 5, 3)
    assert tally([], KATZ) == SlideTally({}, {}, 0, 0, 0, None)


def test_the_assay_says_which_subtypes_are_left_out_of_the_second_count() -> None:
    groups = [CallGroup("cac", name, True, True, None, False, n) for name, n in (("balanced_polyploid", 1), ("tetraploid", 2), (None, 4))]
    for names, left_out in (((), 0), (("tetraploid",), 2), (("balanced_polyploid", "tetraploid"), 3)):
        assay = KATZ.model_copy(update={"patient": KATZ.patient.model_copy(update={"without_subtypes": names})})
        assert tally(groups, assay).cacs_left_out == left_out


def test_verdicts_are_words_of_research_not_of_diagnosis() -> None:
    words = " ".join(KATZ.patient.verdicts.model_dump(exclude_none=True).values()).lower()
    assert not any(w in words for w in ("tumour", "tumor", "cancer", "diagnos", "positive", "negative"))
    assert "research use only" in KATZ.description.lower()
