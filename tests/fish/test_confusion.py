"""Counts against a person's: every nucleus lands in one field, and shares have exact intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacapp.fish.assay.read import load_assay
from cacapp.fish.confusion import NOT_EVALUABLE, Pair, Share, agreement, confusion, worst
from cacapp.fish.control import clopper_pearson

KATZ = load_assay("katz-4color")
COUNTS = st.lists(st.integers(0, 12), min_size=1, max_size=60)


def pair(truth: tuple[int, ...], counted: tuple[int, ...], called: str | None = "", review: bool = False) -> Pair:
    def name(p: tuple[int, ...]) -> str:
        gained = sum(n > 2 for n in p)
        return "cac" if gained > 1 else "gain" if gained else "loss" if min(p) < 2 else "normal"

    shown = name(counted) if called == "" else called
    return Pair(truth, counted, name(truth), shown, name(truth) == "cac", shown == "cac", review)


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.randoms())
def test_every_nucleus_is_in_one_field(truth: list[int], random: object) -> None:
    counted = list(truth)
    random.shuffle(counted)  # type: ignore[attr-defined]
    table = confusion(np.array(truth), np.array(counted))
    assert table.sum() == len(truth)
    assert table.sum(axis=1).tolist() == table.sum(axis=0).tolist() == np.bincount(np.minimum(truth, 5), minlength=6).tolist()
    assert confusion(np.array(truth), np.array(truth)).trace() == len(truth)


def test_five_and_more_are_one_bin() -> None:
    assert confusion(np.array([5, 7, 40]), np.array([6, 5, 4]))[5].tolist() == [0, 0, 0, 0, 1, 2]


def test_sensitivity_and_specificity_are_of_evaluable_cells_with_exact_intervals() -> None:
    cac, normal = (3, 3, 2, 2), (2, 2, 2, 2)
    pairs = [pair(cac, cac)] * 8 + [pair(cac, normal)] + [pair(cac, cac, None)] + [pair(cac, normal, "uncertain", True)]
    pairs += [pair(normal, normal)] * 97 + [pair(normal, cac)] * 2 + [pair(normal, normal, None)]
    a = agreement(pairs, KATZ, missed_cacs=2)
    assert (a.sensitivity, a.specificity) == (Share(8, 10), Share(97, 99))
    assert (a.found, a.caught) == (Share(8, 13), Share(9, 13))
    assert a.sensitivity.interval == clopper_pearson(8, 10)
    assert a.classes[("cac", NOT_EVALUABLE)] == 1
    assert sum(a.classes.values()) == len(pairs)
    assert a.exact["aqua"] == Share(105, 109)
    assert a.exact["red"] == Share(109, 109)


def test_without_cacs_there_is_no_sensitivity_but_an_interval() -> None:
    a = agreement([pair((2, 2, 2, 2), (2, 2, 2, 2))], KATZ)
    assert a.sensitivity.share is None
    assert a.sensitivity.interval == (0.0, 1.0)


def test_a_false_or_missed_cac_is_worse_than_any_other_error() -> None:
    pairs = [
        pair((2, 2, 2, 2), (2, 2, 2, 2)),
        pair((9, 2, 2, 2), (2, 2, 2, 2)),
        pair((2, 2, 2, 2), (3, 3, 2, 2)),
        pair((3, 3, 2, 2), (3, 2, 2, 2)),
        pair((2, 2, 2, 2), (2, 2, 2, 1)),
        pair((2, 2, 2, 2), (9, 9, 9, 9), None),
    ]
    assert worst(pairs, 10) == [2, 3, 1, 4]
    assert worst(pairs, 1) == [2]
    assert worst([], 3) == []


@pytest.mark.parametrize("bad", [[], [pair((3, 3, 3, 3), (3, 3, 3, 3), None)]])
def test_without_evaluable_cells_the_tables_are_empty(bad: list[Pair]) -> None:
    a = agreement(bad, KATZ)
    assert all(table.sum() == 0 for table in a.counts.values())
    assert a.exact["gold"] == Share(0, 0)
