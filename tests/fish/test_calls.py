"""Classes and calls against an independent spelling of the assay's words."""

from itertools import product

import numpy as np
import pytest

from cacapp.fish.assay.read import load_assay
from cacapp.fish.assay.rules import classify
from cacapp.fish.calls import HYBRIDISATION_FAILURE, call_by_counts, call_cells
from cacapp.fish.doubt.doubts import DOUBTS
from cacapp.types import Instance
from tests.fish.evidence import doubt_of, evidence_of

KATZ = load_assay("katz-4color")
INSTANCE = Instance((0, 0, 2, 2), np.ones((2, 2), bool))
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
    return call_by_counts(np.array(patterns), [None] * len(patterns), KATZ)


def test_every_pattern_up_to_six_copies_gets_its_class() -> None:
    for pattern, call in zip(ALL, call_all(ALL), strict=True):
        assert call.class_ == spelled_out(pattern), pattern
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
    call = call_by_counts(np.array([[4, 4, 0, 2]]), ["edge"], KATZ)[0]
    assert (call.class_, call.is_cac, call.needs_review, call.evaluable) == (None, False, False, False)


def test_a_pattern_no_class_matches_is_other() -> None:
    classes = [c for c in KATZ.classes if c.name == "normal"]
    assert classify(np.array([[2, 2, 2, 2], [1, 2, 2, 2]]), classes, KATZ.channels).tolist() == [0, 1]


def test_the_first_class_that_matches_wins() -> None:
    first = classify(np.array([[3, 3, 2, 2]]), KATZ.classes, KATZ.channels)
    assert KATZ.class_names[first[0]] == "cac"


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        call_by_counts(np.array([[-1, 2, 2, 2]]), [None], KATZ)
    with pytest.raises(ValueError, match="4 probes"):
        call_by_counts(np.array([[2, 2, 2]]), [None], KATZ)


def test_without_cells_there_are_no_calls() -> None:
    assert call_by_counts(np.zeros((0, 4), int), [], KATZ) == []


def test_the_first_doubt_that_applies_gives_the_reason_and_no_doubt_touches_a_cell_that_is_not_evaluable() -> None:
    exclusions = [None, None, None, "edge"]
    some, others = np.array([True, False, False, True]), np.array([True, True, False, True])
    evidence = evidence_of([[3, 3, 2, 2]] * 4, KATZ, exclusions=exclusions, margin=np.array([7.0, 8.0, np.inf, 9.0]))
    calls = call_cells(evidence, (doubt_of(some, "one"), doubt_of(others, "two")))
    assert [(c.class_, c.is_cac, c.needs_review, c.review_reason, c.margin) for c in calls] == [
        ("uncertain", False, True, "one", 7.0),
        ("uncertain", False, True, "two", 8.0),
        ("cac", True, False, None, None),
        (None, False, False, None, None),
    ]


def test_the_doubts_are_evaluated_in_a_fixed_order() -> None:
    reasons = [doubt(evidence_of([[2, 2, 2, 2]], KATZ, nuclei=(INSTANCE,)))[1] for doubt in DOUBTS]
    expected = [
        "contested signals decide",
        "may be two nuclei",
        "may be part of a nucleus",
        "probability does not decide",
        "margin too small",
    ]
    assert reasons == expected
