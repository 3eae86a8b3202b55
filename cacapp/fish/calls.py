"""Calls of cells: the class by the assay's criteria, or ``uncertain`` where a doubt applies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.rules import classify
from cacapp.fish.evidence import NOT_ONE_NUCLEUS, Doubt, Evidence
from cacapp.types import Array

HYBRIDISATION_FAILURE = "hybridisation failure?"
UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Call:
    """The call of a cell.

    Attributes:
        class_: name of the assay's class, None for a cell that is not evaluable.
        subtype: the first subtype that applies, None without.
        is_cac: the class is one of the assay's ``cac_classes`` (balanced polyploids are, by the letter).
        margin: SNR, see ``cacapp.fish.doubt.margin.cac_margin``; None where it is unknown.
        needs_review: a person has to look before the call can be relied on.
        review_reason: why, None without.
        evaluable: False for a cell that is excluded from all counts; ``exclusion_reason`` says why.
        p_cac: probability that the assay's criteria hold, None where it is not known.
        p_terms: what leaves it between 0 and 1, in words; None without.
    """

    class_: str | None
    subtype: str | None
    is_cac: bool
    margin: float | None
    needs_review: bool
    review_reason: str | None
    evaluable: bool
    exclusion_reason: str | None = None
    p_cac: float | None = None
    p_terms: str | None = None


def call_cells(evidence: Evidence, doubts: Sequence[Doubt]) -> list[Call]:
    """Call the N cells of a frame.

    An evaluable cell to which a doubt applies is ``uncertain``: it goes to review and is no CAC until a person has decided. Of several
    doubts the first one in their order gives the reason.

    Raises:
        ValueError: wrong shapes or negative counts.
    """
    calls = call_by_counts(evidence.counts, evidence.exclusions, evidence.assay)
    margins = [float(m) if np.isfinite(m) else None for m in evidence.margin]
    calls = [replace(call, margin=m) if call.evaluable else call for call, m in zip(calls, margins, strict=True)]
    for doubt in reversed(doubts):
        doubted, reason = doubt(evidence)
        for i in np.flatnonzero(doubted & evidence.evaluable).tolist():
            calls[i] = Call(UNCERTAIN, None, False, margins[i], True, reason, True)
    return [
        _with_probability(call, p, terms, evidence.assay)
        for call, p, terms in zip(calls, evidence.p_cac.tolist(), evidence.terms, strict=True)
    ]


def _with_probability(call: Call, p: float, terms: str | None, assay: Assay) -> Call:
    """Return an evaluable cell's call with its probability, which is lower where the outline may not hold one whole nucleus."""
    if not call.evaluable or not np.isfinite(p) or assay.probability is None:
        return call
    if call.review_reason in NOT_ONE_NUCLEUS:
        p *= assay.probability.one_nucleus
        terms = "; ".join([f"{call.review_reason}: {assay.probability.one_nucleus:.2f} that it is one", *([terms] if terms else [])])
    return replace(call, p_cac=p, p_terms=terms)


def call_by_counts(counts: Array, exclusions: Sequence[str | None], assay: Assay) -> list[Call]:
    """Call cells by their counts alone. A probe without any signal sends the cell to review.

    Args:
        counts: (N, P) int >= 0, signals per probe in the assay's order.
        exclusions: N reasons why a cell is not evaluable, None for one that is.

    Raises:
        ValueError: wrong shapes or negative counts.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1] != len(assay.probes) or len(exclusions) != len(counts):
        raise ValueError(f"counts {counts.shape} and {len(exclusions)} exclusions for {len(assay.probes)} probes of assay {assay.name}")
    if (counts < 0).any():
        raise ValueError("a count of signals is negative")
    index = classify(counts, assay.classes, assay.channels)
    subtypes = _subtypes(counts, index, assay)
    failed = (counts == 0).any(axis=1)
    calls = []
    for i, excluded in enumerate(exclusions):
        if excluded is not None:
            calls.append(Call(None, None, False, None, False, None, False, excluded))
            continue
        name = assay.class_names[index[i]]
        reason = HYBRIDISATION_FAILURE if failed[i] else None
        calls.append(Call(name, subtypes[i], name in assay.cac_classes, None, reason is not None, reason, True))
    return calls


def _subtypes(counts: Array, index: Array, assay: Assay) -> list[str | None]:
    """Return the first subtype of each cell that its counts and its class fit."""
    result: list[str | None] = [None] * len(counts)
    for subtype in reversed(assay.subtypes):
        of_class = np.array([name in subtype.classes for name in assay.class_names])[index]
        for i in np.flatnonzero(subtype.matches(counts) & of_class):
            result[i] = subtype.name
    return result
