"""False calls learnt from healthy donors: exact limits against analytic truth, and what they say of a patient."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, fisher_exact

from cacapp.fish.assay.read import load_assay
from cacapp.fish.control import ControlPool, clopper_pearson, cutoffs, error_budget, findings, largest_normal_count, upper_limit

KATZ = load_assay("katz-4color")
TWO = {c: {2: 1000} for c in KATZ.channels}


def pool(cacs: int, evaluable: int) -> ControlPool:
    copies = {c: {2: evaluable - cacs, 3: cacs} for c in KATZ.channels}
    return ControlPool(4, 3, evaluable, cacs, {"normal": evaluable - cacs, "cac": cacs}, copies)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(1, 30_000), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_interval_is_scipys_exact_one(k: int, n: int, confidence: float) -> None:
    k = min(k, n)
    expected = binomtest(k, n).proportion_ci(confidence, method="exact")
    assert clopper_pearson(k, n, confidence) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(1, 30_000))
def test_at_the_upper_limit_as_few_are_seen_in_one_of_twenty(k: int, n: int) -> None:
    k = min(k, n)
    limit = upper_limit(k, n)
    if k < n:
        assert binom.cdf(k, n, limit) == pytest.approx(0.05, rel=1e-6)
        assert k / n < limit < 1
    else:
        assert limit == 1


def test_none_of_n_leaves_the_closed_form() -> None:
    for n in (1, 10, 500, 20_000):
        assert upper_limit(0, n) == pytest.approx(1 - 0.05 ** (1 / n))
        assert clopper_pearson(0, n) == (0.0, pytest.approx(1 - 0.025 ** (1 / n)))
        assert clopper_pearson(n, n) == (pytest.approx(0.025 ** (1 / n)), 1.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5000), st.floats(0, 1))
def test_critbinom_is_the_smallest_count_that_holds_95_percent(n: int, share: float) -> None:
    k = largest_normal_count(n, share)
    assert binom.cdf(k, n, share) >= 0.95 - 1e-12
    assert k == 0 or binom.cdf(k - 1, n, share) < 0.95


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30), st.integers(31, 2000), st.integers(1, 500))
def test_more_control_nuclei_of_one_share_narrow_the_limits(k: int, n: int, times: int) -> None:
    assert upper_limit(k * (times + 1), n * (times + 1)) < upper_limit(k, n)


@pytest.mark.parametrize(("k", "n", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0)])
def test_impossible_numbers_are_refused(k: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="give 0 <= k <= n"):
        upper_limit(k, n, confidence)
    with pytest.raises(ValueError, match="give 0 <= k <= n"):
        clopper_pearson(k, n, confidence)


def test_findings_are_the_abnormal_classes_and_gain_and_loss_of_each_probe() -> None:
    copies = {"aqua": {1: 4, 2: 90, 3: 5, 7: 1}, "green": {2: 100}, "gold": {0: 2, 2: 98}, "red": {2: 100}}
    assert findings(KATZ, {"cac": 2, "gain": 4, "normal": 94}, copies) == {
        "cac": 2, "gain": 4, "loss": 0, "other": 0,
        "aqua gain": 6, "aqua loss": 4, "green gain": 0, "green loss": 0, "gold gain": 0, "gold loss": 2, "red gain": 0, "red loss": 0,
    }  # fmt: skip


def test_a_patient_is_held_against_the_controls() -> None:
    b = error_budget(pool(2, 20_000), KATZ, cells=5000, observed=3, classes={"normal": 4997, "cac": 3}, copies=TWO)
    assert b.rate == 1e-4
    assert b.expected == 0.5
    assert (b.rate_low, b.rate_high) == clopper_pearson(2, 20_000)
    assert (b.expected_low, b.expected_high) == (5000 * b.rate_low, 5000 * b.rate_high)
    # Poisson with mean 0.5: 1 - e^-0.5 (1 + 0.5 + 0.125).
    assert b.probability == pytest.approx(1 - math.exp(-0.5) * 1.625, rel=2e-3)
    assert b.probability < b.probability_exact < b.probability_high
    assert b.probability_exact == pytest.approx(fisher_exact([[3, 4997], [2, 19_998]], alternative="greater").pvalue)


def test_controls_without_a_cac_still_say_what_is_possible() -> None:
    b = error_budget(pool(0, 1000), KATZ, cells=1000, observed=1, classes={"cac": 1}, copies=TWO)
    assert (b.rate, b.expected, b.probability) == (0, 0, 0)
    assert b.expected_high == pytest.approx(1000 * (1 - 0.025 ** (1 / 1000)))
    assert b.probability_exact == pytest.approx(0.5)  # one CAC among twice 1,000 nuclei falls on either side


def test_nothing_observed_is_certain_under_any_rate() -> None:
    b = error_budget(pool(1, 1000), KATZ, cells=100, observed=0, classes={}, copies={})
    assert (b.probability, b.probability_high, b.probability_exact) == (1, 1, 1)


def test_a_share_above_the_limit_is_beyond_normal() -> None:
    b = error_budget(pool(10, 10_000), KATZ, cells=1000, observed=5, classes={"cac": 5}, copies={"red": {3: 1, 2: 999}})
    beyond = {f.cutoff.finding: f.beyond for f in b.findings}
    assert beyond["cac"]
    assert not beyond["red gain"]
    assert upper_limit(10, 10_000) == next(f.cutoff.limit for f in b.findings if f.cutoff.finding == "cac")


def test_controls_without_nuclei_give_no_rate() -> None:
    with pytest.raises(ValueError, match="no rate"):
        error_budget(pool(0, 0), KATZ, cells=10, observed=0, classes={}, copies={})
    assert all(c.limit == 1 for c in cutoffs(pool(0, 0), KATZ, 500))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 8), st.integers(500, 50_000), st.integers(0, 12), st.integers(100, 20_000))
def test_more_cacs_are_never_more_probable(k: int, n: int, observed: int, cells: int) -> None:
    less, more = (error_budget(pool(k, n), KATZ, cells=cells, observed=o, classes={}, copies={}) for o in (observed, observed + 1))
    for name in ("probability", "probability_high", "probability_exact"):
        assert 0 <= getattr(more, name) <= getattr(less, name) + 1e-12 <= 1 + 1e-9
