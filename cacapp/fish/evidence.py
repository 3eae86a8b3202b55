"""The evidence that a frame's calls rest on, and the type of a doubt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.signals.judge import Spots
from cacapp.types import Array, Instance

TWO_NUCLEI = "may be two nuclei"
PART = "may be part of a nucleus"
NOT_ONE_NUCLEUS = (TWO_NUCLEI, PART)
"""Reasons for review that say nothing about the signals, but about the outline."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence of the N nuclei of a frame, for P probes in the assay's order.

    Attributes:
        assay: the criteria.
        nuclei: N outlines.
        dapi: (Y, X) of any numeric dtype, grey values.
        background: grey value of DAPI without a nucleus.
        seam_threshold: seams of single nuclei of the frame are at most this strong, but for a few; infinite where unknown.
        spots: judged dots by channel.
        counts: (N, P) int64, counted signals.
        fewest, most: (N, P) int64, the counts without and with every signal that a neighbour could own.
        margin: (N,) float64, SNR, see ``cacapp.fish.doubt.margin.cac_margin``; inf where nothing near flips the call.
        exclusions: N reasons why a nucleus is not evaluable, None for one that is.
        p_cac: (N,) float64, the probability that the assay's criteria hold, NaN where it is not known; see ``cacapp.fish.probability``.
        terms: N texts, what leaves it between 0 and 1, None where nothing does.
        granular: (N,) bool, granules that shine in all channels lie in the nucleus.
    """

    assay: Assay
    nuclei: Sequence[Instance]
    dapi: Array
    background: float
    seam_threshold: float
    spots: Mapping[str, Spots]
    counts: Array
    fewest: Array
    most: Array
    margin: Array
    exclusions: Sequence[str | None]
    p_cac: Array
    terms: Sequence[str | None]
    granular: Array

    @property
    def evaluable(self) -> Array:
        """Return (N,) bool."""
        return np.array([reason is None for reason in self.exclusions], bool)


Doubt = Callable[[Evidence], tuple[Array, str]]
"""Returns (N,) bool, the cells that are not to be called without a person's decision, and the reason that is stored with them."""
