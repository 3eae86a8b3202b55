"""What the assay's criteria say of each cell."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.rules import classify
from cacapp.types import Array

HYBRIDISATION_FAILURE = "hybridisation failure?"
CONTESTED = "contested signals decide"
TWO_NUCLEI = "may be two nuclei"
PART = "may be part of a nucleus"
SMALL_MARGIN = "margin too small"
UNCERTAIN = "uncertain"
CELLS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Call:
    """The call of a cell.

    Attributes:
        cell_class: name of the assay's class, None for a cell that is not evaluable.
        subtype: the first subtype that applies, None without.
        is_cac: the class is one of the assay's ``cac_classes`` (balanced polyploids are, by the letter).
        margin: SNR, see ``cac_margin``; None where it is unknown.
        needs_review: a person has to look before the call can be relied on.
        review_reason: why, None without.
        evaluable: False for a cell that is excluded from all counts.
    """

    cell_class: str | None
    subtype: str | None
    is_cac: bool
    margin: float | None
    needs_review: bool
    review_reason: str | None
    evaluable: bool


NOT_EVALUABLE = Call(None, None, False, None, False, None, False)


def call_cells(
    counts: Array,
    evaluable: Array,
    assay: Assay,
    *,
    lose: Array | None = None,
    gain: Array | None = None,
    fewest: Array | None = None,
    most: Array | None = None,
    two_nuclei: Array | None = None,
    part: Array | None = None,
) -> list[Call]:
    """Class, subtype and CAC call of each cell. A probe without any signal sends the cell to review.

    A cell that is a CAC or not depending on signals a neighbouring nucleus could own is ``uncertain``, and so is a CAC that may be two
    nuclei or part of one, or whose margin is below the assay's: it goes to review and is no CAC until a person has decided.

    Args:
        counts: (N, P) int >= 0, signals per probe in the assay's order.
        evaluable: (N,) bool.
        fewest, most: (N, P) as ``cacapp.fish.signals.judge.count_range`` gives them; both or none.
        two_nuclei: (N,) bool, the gains may be those of two nuclei in one outline.
        part: (N,) bool, the outline may hold a part of a nucleus only.
        lose, gain: (N, P) as ``cacapp.fish.signals.judge.flip_costs`` gives them; both or none.

    Raises:
        ValueError: wrong shapes, negative counts, or one of the two costs without the other.
    """
    counts, evaluable = np.asarray(counts), np.asarray(evaluable, bool)
    if counts.ndim != 2 or counts.shape[1] != len(assay.probes) or evaluable.shape != (len(counts),):
        raise ValueError(f"counts {counts.shape} and evaluable {evaluable.shape} for {len(assay.probes)} probes of assay {assay.name}")
    if (counts < 0).any():
        raise ValueError("a count of signals is negative")
    if (lose is None) != (gain is None):
        raise ValueError("lose and gain go together")
    margins = np.full(len(counts), np.inf)
    if lose is not None and gain is not None:
        margins = cac_margin(counts, lose, gain, assay)
    index = classify(counts, assay.classes, assay.channels)
    subtypes = _subtypes(counts, index, assay)
    failed = (counts == 0).any(axis=1)
    contested = np.zeros(len(counts), bool)
    if fewest is not None and most is not None:
        contested = is_cac(fewest, assay) != is_cac(most, assay)
    calls = []
    for i in range(len(counts)):
        if not evaluable[i]:
            calls.append(NOT_EVALUABLE)
            continue
        name = assay.class_names[index[i]]
        margin = float(margins[i]) if np.isfinite(margins[i]) else None
        doubt = CONTESTED if contested[i] else None
        if doubt is None and two_nuclei is not None and two_nuclei[i] and name in assay.cac_classes:
            doubt = TWO_NUCLEI
        if doubt is None and part is not None and part[i] and name in assay.cac_classes:
            doubt = PART
        if doubt is None and name in assay.cac_classes and margins[i] < assay.signals.min_cac_margin:
            doubt = SMALL_MARGIN
        if doubt is not None:
            calls.append(Call(UNCERTAIN, None, False, margin, True, doubt, True))
            continue
        reason = HYBRIDISATION_FAILURE if failed[i] else None
        calls.append(Call(name, subtypes[i], name in assay.cac_classes, margin, reason is not None, reason, True))
    return calls


def cac_margin(counts: Array, lose: Array, gain: Array, assay: Assay) -> Array:
    """How far the evidence is from flipping ``is_cac``, (N,) float64 in SNR: the cheapest set of changes that flips it.

    A change takes one signal from a probe or gives it one, at most one each; costs add up, for the dots err independently. inf where no
    such set flips the call.

    Args:
        counts: (N, P) int.
        lose, gain: (N, P) cost of one signal less or more, inf where none can be lost or gained.
    """
    lose = np.where(counts > 0, lose, np.inf)
    margin = np.full(len(counts), np.inf)
    for start in range(0, len(counts), CELLS_AT_ONCE):
        part = slice(start, start + CELLS_AT_ONCE)
        now = is_cac(counts[part], assay)
        for change in product((-1, 0, 1), repeat=len(assay.probes)):
            step = np.array(change)
            cost = np.where(step < 0, lose[part], np.where(step > 0, gain[part], 0.0)).sum(axis=1)
            flips = is_cac(np.maximum(counts[part] + step, 0), assay) != now
            margin[part] = np.where(flips, np.minimum(margin[part], cost), margin[part])
    return margin


def is_cac(counts: Array, assay: Assay) -> Array:
    """(N,) bool: the class of counts (N, P) is one of the assay's ``cac_classes``."""
    cac = np.array([name in assay.cac_classes for name in assay.class_names])
    return cac[classify(counts, assay.classes, assay.channels)]


def _subtypes(counts: Array, index: Array, assay: Assay) -> list[str | None]:
    """The first subtype of each cell that its counts and its class fit."""
    result: list[str | None] = [None] * len(counts)
    for subtype in reversed(assay.subtypes):
        of_class = np.array([name in subtype.classes for name in assay.class_names])[index]
        for i in np.flatnonzero(subtype.matches(counts) & of_class):
            result[i] = subtype.name
    return result
