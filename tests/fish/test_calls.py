"""Classes and calls against an independent spelling of the assay's words."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacapp.fish.assay.read import load_assay
from cacapp.fish.assay.rules import classify
from cacapp.fish.calls import HYBRIDISATION_FAILURE, cac_margin, call_cells

KATZ = load_assay("katz-4color")
ALL = list(product(range(7), repeat=4))


def spelled_out(pattern: tuple[int, ...]) -> str:
    gained = len([c for c in pattern if c > 2])
    lost = len([c for c in pattern if c < 2])
    if gained >= 2:
        return "cac"
    if gained == 1:
        return "gain"
    return "loss" if lost else "normal"


def call_all(patterns):
    return call_cells(np.array(patterns), np.ones(len(patterns), bool), KATZ)


def test_every_pattern_up_to_six_copies_gets_its_class() -> None:
    for pattern, call in zip(ALL, call_all(ALL), strict=True):
        assert call.cell_class == spelled_out(pattern), pattern
        assert call.is_cac == (spelled_out(pattern) == "cac"), pattern


def test_balanced_polyploids_are_cacs_with_a_tag_and_nothing_else_is_tagged() -> None:
    for pattern, call in zip(ALL, call_all(ALL), strict=True):
        balanced = len(set(pattern)) == 1 and pattern[0] >= 3
        assert (call.subtype == "balanced_polyploid") == balanced, pattern
        assert call.is_cac or not balanced


def test_a_probe_without_signals_goes_to_review_and_keeps_its_class() -> None:
    for pattern, call in zip(ALL, call_all(ALL), strict=True):
        assert call.needs_review == (0 in pattern), pattern
        assert call.review_reason == (HYBRIDISATION_FAILURE if 0 in pattern else None)
    assert call_all([(0, 3, 3, 2)])[0].is_cac


def test_a_cell_that_is_not_evaluable_is_neither_cac_nor_for_review() -> None:
    call = call_cells(np.array([[4, 4, 0, 2]]), np.array([False]), KATZ)[0]
    assert (call.cell_class, call.is_cac, call.needs_review, call.evaluable) == (None, False, False, False)


def test_a_pattern_no_class_matches_is_other() -> None:
    classes = [c for c in KATZ.classes if c.name == "normal"]
    assert classify(np.array([[2, 2, 2, 2], [1, 2, 2, 2]]), classes, KATZ.channels).tolist() == [0, 1]


def test_the_first_class_that_matches_wins() -> None:
    first = classify(np.array([[3, 3, 2, 2]]), KATZ.classes, KATZ.channels)
    assert KATZ.class_names[first[0]] == "cac"


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        call_cells(np.array([[-1, 2, 2, 2]]), np.array([True]), KATZ)
    with pytest.raises(ValueError, match="4 probes"):
        call_cells(np.array([[2, 2, 2]]), np.array([True]), KATZ)


def test_no_cells_no_calls() -> None:
    assert call_cells(np.zeros((0, 4), int), np.zeros(0, bool), KATZ) == []


INF = np.inf


def margin_of(counts, lose, gain) -> float:
    return float(cac_margin(np.array([counts]), np.array([lose], float), np.array([gain], float), KATZ)[0])


def test_the_margin_is_the_weakest_signal_a_cac_rests_on() -> None:
    assert margin_of([3, 2, 3, 2], [22, 1, 4, 1], [INF] * 4) == 4


def test_a_cac_with_a_gain_to_spare_needs_two_losses_to_flip() -> None:
    assert margin_of([3, 3, 3, 2], [2, 5, 20, 1], [INF] * 4) == 2 + 5


def test_a_gain_is_one_rejected_dot_away_from_a_cac() -> None:
    assert margin_of([3, 2, 2, 2], [42, 42, 42, 42], [INF, 0.5, 5, INF]) == 0.5


def test_a_cell_that_no_single_copy_flips_has_no_margin() -> None:
    assert margin_of([5, 5, 2, 2], [1, 1, 1, 1], [INF] * 4) == INF
    counts = np.array([[5, 5, 2, 2]])
    assert call_cells(counts, np.array([True]), KATZ, lose=np.ones((1, 4)), gain=np.full((1, 4), INF))[0].margin is None


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=4, max_size=4),
    st.lists(st.floats(0, 60), min_size=4, max_size=4),
    st.lists(st.floats(0, 8), min_size=4, max_size=4),
)
def test_dearer_changes_never_narrow_a_margin(counts, lose, gain) -> None:
    before = margin_of(counts, lose, gain)
    assert margin_of(counts, [v + 5 for v in lose], [v * 2 for v in gain]) >= before - 1e-9


def test_a_cac_below_the_assays_margin_is_uncertain() -> None:
    strict, lenient = (KATZ.model_copy(update={"signals": KATZ.signals.model_copy(update={"min_cac_margin": m})}) for m in (3.0, 0.0))
    counts, gain = np.array([[3, 3, 2, 2], [3, 3, 2, 2], [3, 2, 2, 2]]), np.full((3, 4), INF)
    lose = np.array([[2.0, 9, 9, 9], [4.0, 9, 9, 9], [1.0, 9, 9, 9]])
    calls = call_cells(counts, np.ones(3, bool), strict, lose=lose, gain=gain)
    assert [(c.cell_class, c.is_cac, c.review_reason) for c in calls] == [
        ("uncertain", False, "margin too small"),
        ("cac", True, None),
        ("gain", False, None),
    ]
    assert [c.is_cac for c in call_cells(counts, np.ones(3, bool), lenient, lose=lose, gain=gain)] == [True, True, False]


def test_a_cell_that_contested_signals_make_a_cac_is_uncertain_and_goes_to_review() -> None:
    counts = np.array([[3, 3, 2, 2], [3, 3, 2, 2], [2, 2, 2, 2]])
    fewest, most = np.array([[3, 2, 2, 2], [3, 3, 2, 2], [2, 2, 2, 2]]), np.array([[3, 3, 2, 2], [3, 4, 2, 2], [3, 2, 2, 2]])
    calls = call_cells(counts, np.ones(3, bool), KATZ, fewest=fewest, most=most)
    assert [c.cell_class for c in calls] == ["uncertain", "cac", "normal"]
    assert [c.is_cac for c in calls] == [False, True, False]
    assert (calls[0].needs_review, calls[0].review_reason) == (True, "contested signals decide")
