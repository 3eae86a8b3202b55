"""Cells between the assay's two limits of probability go to review."""

import numpy as np

from cacapp.fish.assay.read import load_assay
from cacapp.fish.calls import call_cells
from cacapp.fish.doubt.probable import UNDECIDED, undecided
from tests.fish.evidence import doubt_of, evidence_of

KATZ = load_assay("katz-4color")
CAC, NORMAL = [3, 3, 2, 2], [2, 2, 2, 2]


def test_beyond_the_limits_the_counts_call_and_between_them_a_person_does() -> None:
    p = np.array([0.99, 0.8, 0.5, 0.01, np.nan])
    evidence = evidence_of([CAC, CAC, NORMAL, NORMAL, CAC], KATZ, p_cac=p, terms=[None, "a dot", "a dot", None, None])
    calls = call_cells(evidence, (undecided,))
    assert [c.class_ for c in calls] == ["cac", "uncertain", "uncertain", "normal", "cac"]
    assert [c.review_reason for c in calls] == [None, UNDECIDED, UNDECIDED, None, None]
    assert [c.p_cac for c in calls] == [0.99, 0.8, 0.5, 0.01, None]
    assert calls[1].p_terms == "a dot"


def test_counts_and_probability_that_disagree_are_a_doubt() -> None:
    evidence = evidence_of([CAC, NORMAL], KATZ, p_cac=np.array([0.01, 0.99]))
    assert undecided(evidence)[0].tolist() == [True, True]


def test_granules_that_shine_in_all_channels_allow_no_call_of_a_cac() -> None:
    evidence = evidence_of([CAC], KATZ, p_cac=np.array([0.99]), granular=np.array([True]))
    assert undecided(evidence)[0].tolist() == [True]


def test_an_assay_without_probabilities_has_no_such_doubt() -> None:
    assay = KATZ.model_copy(update={"probability": None})
    assert undecided(evidence_of([CAC], assay, p_cac=np.array([0.5])))[0].tolist() == [False]


def test_an_outline_that_may_hold_two_nuclei_lowers_the_probability_and_says_so() -> None:
    evidence = evidence_of([CAC], KATZ, p_cac=np.array([0.9]), terms=["a dot"])
    (call,) = call_cells(evidence, (doubt_of(np.array([True]), "may be two nuclei"),))
    assert call.p_cac == 0.45
    assert call.p_terms == "may be two nuclei: 0.50 that it is one; a dot"


def test_a_cell_that_is_not_evaluable_has_no_probability() -> None:
    (call,) = call_cells(evidence_of([CAC], KATZ, p_cac=np.array([0.9]), exclusions=["edge"]), ())
    assert call.p_cac is None
