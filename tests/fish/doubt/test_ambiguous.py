"""A call that signals of a neighbour could change is doubted: whatever lies between the fewest and the most."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacapp.fish.assay.read import builtin_assays, load_assay
from cacapp.fish.calls import call_cells
from cacapp.fish.doubt import ambiguous
from cacapp.fish.doubt.ambiguous import ambiguous_signals, both_calls_possible
from tests.fish.evidence import evidence_of

KATZ = load_assay("katz-4color")


def test_a_cell_that_ambiguous_signals_make_a_cac_is_uncertain_and_goes_to_review() -> None:
    counts = np.array([[3, 3, 2, 2], [3, 3, 2, 2], [2, 2, 2, 2]])
    fewest, most = np.array([[3, 2, 2, 2], [3, 3, 2, 2], [2, 2, 2, 2]]), np.array([[3, 3, 2, 2], [3, 4, 2, 2], [3, 2, 2, 2]])
    calls = call_cells(evidence_of(counts, KATZ, fewest=fewest, most=most), (ambiguous_signals,))
    assert [c.class_ for c in calls] == ["uncertain", "cac", "normal"]
    assert [c.is_cac for c in calls] == [False, True, False]
    assert (calls[0].needs_review, calls[0].review_reason) == (True, "contested signals decide")


def test_a_normal_count_between_two_abnormal_ends_is_a_doubt() -> None:
    assay = load_assay("gain-or-loss")
    evidence = evidence_of([[3, 3, 2, 2]], assay, fewest=np.array([[1, 1, 2, 2]]), most=np.array([[3, 3, 2, 2]]))
    assert assay.is_cac(np.array([[1, 1, 2, 2], [2, 2, 2, 2], [3, 3, 2, 2]])).tolist() == [True, False, True]
    (call,) = call_cells(evidence, (ambiguous_signals,))
    assert (call.class_, call.is_cac, call.review_reason) == ("uncertain", False, "contested signals decide")


@pytest.mark.parametrize("name", builtin_assays())
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_count_in_the_range_is_looked_at(name: str, data: st.DataObject) -> None:
    assay = load_assay(name)
    probes = len(assay.probes)
    ends = data.draw(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), min_size=probes, max_size=probes))
    every = np.array(list(product(*[range(low, low + more + 1) for low, more in ends])))
    fewest, most = every.min(axis=0)[None], every.max(axis=0)[None]
    assert both_calls_possible(fewest, most, assay).tolist() == [len(set(assay.is_cac(every).tolist())) == 2]


def test_without_cells_there_are_no_doubts() -> None:
    assert both_calls_possible(np.zeros((0, 4), int), np.zeros((0, 4), int), KATZ).tolist() == []


def test_a_range_too_wide_to_look_at_is_a_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ambiguous, "MAX_PATTERNS", 2)
    fewest, most = np.array([[0, 0, 2, 2], [2, 2, 2, 2]]), np.array([[9, 9, 2, 2], [2, 2, 2, 3]])
    assert both_calls_possible(fewest, most, KATZ).tolist() == [True, False]
