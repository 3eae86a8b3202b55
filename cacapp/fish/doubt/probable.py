"""Cells whose probability of a CAC is neither so high nor so low that a call can stand without a look."""

from __future__ import annotations

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.evidence import Evidence
from cacapp.types import Array

UNDECIDED = "probability does not decide"


def undecided(evidence: Evidence) -> tuple[Array, str]:
    """Doubt cells between the assay's limits, CACs below the upper one, and any CAC among granules that shine in all channels."""
    limits = evidence.assay.probability
    if limits is None:
        return np.zeros(len(evidence.counts), bool), UNDECIDED
    cac = evidence.assay.is_cac(evidence.counts)
    known = np.isfinite(evidence.p_cac)
    called = cac & (evidence.p_cac >= limits.automatic_above) & ~evidence.granular
    return known & (cac | above_review(evidence.p_cac, evidence.assay)) & ~called, UNDECIDED


def above_review(p_cac: Array, assay: Assay) -> Array:
    """Return (N,) bool: the probability is above the assay's lower limit; not where it is NaN."""
    limits = assay.probability
    return np.zeros(len(p_cac), bool) if limits is None else np.asarray(np.nan_to_num(p_cac) > limits.review_above)
