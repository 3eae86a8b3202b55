"""Cells whose call depends on signals that a neighbouring nucleus could own."""

from __future__ import annotations

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.evidence import Evidence
from cacapp.types import Array

AMBIGUOUS = "contested signals decide"
MAX_PATTERNS = 100_000
"""Patterns of counts that are looked at for one range: a few MB. A wider range is ambiguous without a look."""


def ambiguous_signals(evidence: Evidence) -> tuple[Array, str]:
    """Doubt cells that are CACs under some of their possible counts and none under others, where the probability of a CAC is not known."""
    return both_calls_possible(evidence.fewest, evidence.most, evidence.assay) & ~np.isfinite(evidence.p_cac), AMBIGUOUS


def both_calls_possible(fewest: Array, most: Array, assay: Assay) -> Array:
    """Return (N,) bool: of the count vectors from ``fewest`` to ``most``, some are CACs and some are not.

    Every vector in the range is looked at, not only its two ends: under a rule that asks for losses as well as gains both ends can be
    CACs with none between. Counts that no condition of the assay tells apart are taken together, which leaves at most
    (number of limits + 1) ** P patterns for a range, 81 with the shipped assays; cells of one range are decided together.

    Args:
        fewest, most: (N, P) int >= 0, fewest <= most.
    """
    steps = [np.array(assay.count_limits(channel), np.int64) for channel in assay.channels]
    levels = [np.stack([np.searchsorted(s, ends[:, p], side="right") for p, s in enumerate(steps)], axis=1) for ends in (fewest, most)]
    ranges, which = np.unique(np.concatenate(levels, axis=1), axis=0, return_inverse=True)
    values = [np.concatenate([[0], s]) for s in steps]  # the lowest count of each level
    both = np.array([_both(low, high, values, assay) for low, high in ranges.reshape(-1, 2, len(steps))], bool)
    return both[which.reshape(-1)]


def _both(low: Array, high: Array, values: list[Array], assay: Assay) -> bool:
    """Tell whether the patterns between two rows of levels, (P,) each, give both answers."""
    shape = tuple((high - low + 1).tolist())
    if np.prod(shape, dtype=float) > MAX_PATTERNS:
        return True
    place = np.indices(shape).reshape(len(shape), -1) + low[:, None]
    cac = assay.is_cac(np.stack([v[p] for v, p in zip(values, place, strict=True)], axis=1))
    return bool(cac.any() and not cac.all())
