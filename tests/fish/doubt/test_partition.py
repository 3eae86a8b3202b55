"""Counts of two nuclei in one outline."""

import numpy as np
import pytest

from cacapp.fish.assay.read import load_assay
from cacapp.fish.doubt.partition import more_than_tetraploid, splits_into_two_non_cac, splits_off_a_normal_nucleus

KATZ = load_assay("katz-4color")


@pytest.mark.parametrize(
    ("one", "other", "two"),
    [
        ((2, 2, 2, 2), (2, 2, 2, 2), True),  # reads 4,4,4,4
        ((2, 2, 2, 2), (1, 2, 2, 2), True),
        ((2, 2, 2, 2), (1, 2, 2, 3), False),  # a gained one beside a normal one is rarer than a CAC with a seam
        ((0, 1, 1, 0), (2, 2, 2, 2), True),  # what a neighbour hides
        ((2, 2, 2, 2), (3, 3, 2, 2), False),  # one of them is a CAC all the same
        ((1, 2, 1, 2), (3, 2, 1, 0), False),  # neither is a whole nucleus
        ((2, 1, 2, 2), (1, 2, 2, 2), False),
    ],
)
def test_a_cut_that_leaves_a_normal_nucleus_and_no_gain_explains_the_gains(one, other, two: bool) -> None:
    assert splits_off_a_normal_nucleus(np.array([[one, other]]), KATZ).tolist() == [two]
    assert splits_off_a_normal_nucleus(np.array([[other, one]]), KATZ).tolist() == [two]


def test_no_cuts_explain_nothing() -> None:
    assert splits_off_a_normal_nucleus(np.zeros((0, 2, 4), int), KATZ).tolist() == []


@pytest.mark.parametrize(
    ("one", "other", "two"),
    [
        ((2, 2, 2, 2), (2, 2, 3, 2), True),
        ((2, 1, 3, 2), (2, 2, 2, 2), True),
        ((2, 1, 2, 2), (1, 2, 2, 2), True),  # neither counted to the last dot
        ((2, 2, 2, 2), (0, 0, 2, 1), False),  # the other part is no nucleus
        ((3, 3, 2, 2), (2, 2, 2, 2), False),  # a CAC all the same
    ],
)
def test_between_two_concavities_two_parts_that_are_no_cacs_with_signals_of_their_own_are_two_nuclei(one, other, two: bool) -> None:
    assert splits_into_two_non_cac(np.array([[one, other], [other, one]]), KATZ).tolist() == [two, two]


def test_more_copies_than_a_tetraploid_nucleus_has() -> None:
    counts = np.array([[4, 4, 4, 4], [5, 4, 4, 4], [6, 6, 6, 7], [5, 5, 5, 2], [8, 3, 4, 4]])
    assert more_than_tetraploid(counts, KATZ).tolist() == [False, True, True, False, False]
