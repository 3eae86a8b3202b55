"""The margin of a call: the cheapest change of the evidence that flips it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cacapp.fish.assay.read import load_assay
from cacapp.fish.calls import call_cells
from cacapp.fish.doubt.margin import cac_margin, small_margin
from tests.fish.evidence import evidence_of

KATZ = load_assay("katz-4color")
INF = np.inf


def margin_of(counts, lose, gain) -> float:
    return float(cac_margin(np.array([counts]), np.array([lose], float), np.array([gain], float), KATZ)[0])


def test_the_margin_is_the_weakest_signal_a_cac_rests_on() -> None:
    assert margin_of([3, 2, 3, 2], [22, 1, 4, 1], [INF] * 4) == 4


def test_a_cac_with_one_gain_more_than_required_needs_two_losses_to_flip() -> None:
    assert margin_of([3, 3, 3, 2], [2, 5, 20, 1], [INF] * 4) == 2 + 5


def test_a_gain_is_one_rejected_dot_away_from_a_cac() -> None:
    assert margin_of([3, 2, 2, 2], [42, 42, 42, 42], [INF, 0.5, 5, INF]) == 0.5


def test_a_cell_that_no_single_copy_flips_has_no_margin() -> None:
    assert margin_of([5, 5, 2, 2], [1, 1, 1, 1], [INF] * 4) == INF
    assert call_cells(evidence_of([[5, 5, 2, 2]], KATZ), ())[0].margin is None


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=4, max_size=4),
    st.lists(st.floats(0, 60), min_size=4, max_size=4),
    st.lists(st.floats(0, 8), min_size=4, max_size=4),
)
def test_higher_costs_never_lower_a_margin(counts, lose, gain) -> None:
    before = margin_of(counts, lose, gain)
    assert margin_of(counts, [v + 5 for v in lose], [v * 2 for v in gain]) >= before - 1e-9


def test_a_cac_below_the_assays_margin_is_doubted() -> None:
    strict, lenient = (KATZ.model_copy(update={"signals": KATZ.signals.model_copy(update={"min_cac_margin": m})}) for m in (3.0, 0.0))
    counts, margin = [[3, 3, 2, 2], [3, 3, 2, 2], [3, 2, 2, 2]], np.array([2.0, 4.0, 1.0])
    calls = call_cells(evidence_of(counts, strict, margin=margin), (small_margin,))
    assert [(c.class_, c.is_cac, c.review_reason) for c in calls] == [
        ("uncertain", False, "margin too small"),
        ("cac", True, None),
        ("gain", False, None),
    ]
    assert [c.is_cac for c in call_cells(evidence_of(counts, lenient, margin=margin), (small_margin,))] == [True, True, False]
