"""Evidence built by hand: counts, and what else a test needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.evidence import Doubt, Evidence
from cacapp.types import Array


def evidence_of(counts: Any, assay: Assay, **given: Any) -> Evidence:
    """Evidence of nuclei without a picture: all evaluable, no signal ambiguous, nothing near flips a call, unless given otherwise."""
    table = np.asarray(counts).reshape(-1, len(assay.probes))
    n = len(table)
    usual: dict[str, Any] = {
        "assay": assay,
        "nuclei": (),
        "dapi": np.zeros((1, 1), np.uint16),
        "background": 0.0,
        "seam_threshold": float("inf"),
        "spots": {},
        "counts": table,
        "fewest": table,
        "most": table,
        "margin": np.full(n, np.inf),
        "exclusions": [None] * n,
        "p_cac": np.full(n, np.nan),
        "terms": [None] * n,
        "granular": np.zeros(n, bool),
    }
    return Evidence(**usual | given)


def doubt_of(mask: Array, reason: str) -> Doubt:
    """A doubt about these cells, whatever the evidence."""
    return lambda _: (mask, reason)
