"""The margin of a call: how much the evidence would have to change to turn a CAC into none, or none into a CAC."""

from __future__ import annotations

from itertools import product

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.evidence import Evidence
from cacapp.types import Array

SMALL_MARGIN = "margin too small"
CELLS_AT_ONCE = 4096


def small_margin(evidence: Evidence) -> tuple[Array, str]:
    """Doubt CACs whose margin is below the assay's ``min_cac_margin``, where the probability of a CAC is not known."""
    assay = evidence.assay
    small = assay.is_cac(evidence.counts) & (evidence.margin < assay.signals.min_cac_margin)
    return small & ~np.isfinite(evidence.p_cac), SMALL_MARGIN


def cac_margin(counts: Array, lose: Array, gain: Array, assay: Assay) -> Array:
    """Return how far the evidence is from flipping ``Assay.is_cac``, (N,) float64, SNR: the cheapest set of changes that flips it.

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
        now = assay.is_cac(counts[part])
        for change in product((-1, 0, 1), repeat=len(assay.probes)):
            step = np.array(change)
            cost = np.where(step < 0, lose[part], np.where(step > 0, gain[part], 0.0)).sum(axis=1)
            flips = assay.is_cac(np.maximum(counts[part] + step, 0)) != now
            margin[part] = np.where(flips, np.minimum(margin[part], cost), margin[part])
    return margin
