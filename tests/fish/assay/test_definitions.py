"""The assays that ship: each calls every pattern as its words say, against an independent spelling of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from cacapp.exceptions import UsageError
from cacapp.fish.assay.read import builtin_assays, load_assay, parse_assay
from cacapp.fish.calls import call_by_counts

Pattern = tuple[int, ...]


def gained(p: Pattern) -> int:
    return sum(n > 2 for n in p)


def lost(p: Pattern) -> int:
    return sum(n < 2 for n in p)


FLAGGED: dict[str, Callable[[Pattern], bool]] = {
    "katz-4color": lambda p: gained(p) >= 2,
    "any-gain": lambda p: gained(p) >= 1,
    "gain-or-loss": lambda p: gained(p) >= 2 or (lost(p) >= 2 and gained(p) == 0) or (gained(p) == 1 and lost(p) >= 1),
    "two-probe": lambda p: gained(p) == 2,
    "her2-cep17": lambda p: p[0] >= 6,
}


def test_every_shipped_assay_is_spelled_out_here() -> None:
    assert set(FLAGGED) == set(builtin_assays())


@pytest.mark.parametrize("name", FLAGGED)
def test_a_shipped_assay_flags_the_patterns_its_words_say(name: str) -> None:
    assay = load_assay(name)
    assert assay.name == name
    assert "Research use only" in assay.description
    patterns = list(product(range(9 if len(assay.probes) == 2 else 6), repeat=len(assay.probes)))
    calls = call_by_counts(np.array(patterns), [None] * len(patterns), assay)
    for pattern, call in zip(patterns, calls, strict=True):
        assert call.is_cac == FLAGGED[name](pattern), pattern
    assert {c.class_ for c in calls} == set(assay.class_names) - {"other"}


@pytest.mark.parametrize("name", FLAGGED)
def test_a_normal_cell_is_normal_in_every_assay(name: str) -> None:
    assay = load_assay(name)
    (call,) = call_by_counts(np.array([[2] * len(assay.probes)]), [None], assay)
    assert (call.class_, call.is_cac, call.needs_review) == ("normal", False, False)


def test_deletions_are_distinguished_from_gains_and_from_both() -> None:
    assay = load_assay("gain-or-loss")
    patterns = {(3, 3, 1, 2): "gains", (1, 1, 2, 2): "losses", (3, 1, 2, 2): "mixed", (3, 2, 2, 2): "gain", (1, 2, 2, 2): "loss"}
    calls = call_by_counts(np.array(list(patterns)), [None] * len(patterns), assay)
    assert [c.class_ for c in calls] == list(patterns.values())


HER2 = load_assay("her2-cep17").toml()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('numerator = "red"', 'numerator = "gold"', "ratio.numerator: no probe of this assay has channel 'gold'; it has red, green"),
        ('denominator = "green"', 'denominator = "red"', "ratio.denominator: 'red' over itself is always 1"),
        ("copies_below = 4.0", "copies_below = 3.0", "ratio.outcomes: none covers a ratio of "),
        ("ratio_at_least = 2.0", "ratio_at_least = -2.0", "ratio.outcomes #1 ratio_at_least: input should be greater than 0"),
        ("ratio_at_least = 2.0", "ratio_at_least = 0", "ratio.outcomes #1 ratio_at_least: input should be greater than 0"),
        ('"group-2"', '"group-1"', "ratio.outcomes: outcome 'group-1' is defined twice"),
        ("copies_at_least = 4.0", "ratio_below = 1.0", "ratio.outcomes #1 ratio_at_least: 2 is not below ratio_below = 1"),
        ('verdict = "equivocal"', 'verdict = "maybe"', "ratio.outcomes #2 verdict: input should be 'increased', 'not_increased' or"),
        ('equivocal = "equi', '# "equi', "patient.verdicts.equivocal: missing; an outcome of [ratio] is equivocal"),
        ("[patient]", "[patient]\nthreshold_per_100ul = 3.0", "patient.threshold_per_100ul: the verdict cannot follow both"),
        ("[[ratio.outcomes]]", '[[ratio.outcomes]]\nname = "all"\nverdict = "equivocal"\n[[ratio.outcomes]]', "ratio.outcomes #2: outcome"),
    ],
)
def test_a_ratio_that_contradicts_itself_is_refused_by_name(old: str, new: str, message: str) -> None:
    assert old in HER2, "the test no longer fits the file"
    with pytest.raises(UsageError) as caught:
        parse_assay(HER2.replace(old, new, 1), "lab.toml")
    assert str(caught.value).startswith(f"assay lab.toml: {message}")
