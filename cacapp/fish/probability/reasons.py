"""What leaves the probability of a CAC between 0 and 1, in words: the dots that may or may not be copies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.probability.candidates import Candidates
from cacapp.fish.probability.cells import CopyProbabilities
from cacapp.types import Array

SURE = 0.02  # a dot whose probability to be a copy is this near to 0 or 1 is not named
WORTH = 0.001  # of a CAC's probability: below it, nothing is named
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def reasons(
    dots: Mapping[str, Candidates], found: CopyProbabilities, lit: Mapping[str, Array], granular: Array, assay: Assay
) -> list[str | None]:
    """Return a text for each nucleus whose probability of a CAC is neither 0 nor 1: the doubtful dots, one clause each.

    "third green dot: 0.31 of the others' height, 0.12 that it is a copy".
    """
    clauses: list[list[str]] = [[] for _ in granular]
    named = (found.p_cac > WORTH) & (found.p_cac < 1 - WORTH)
    for i in np.flatnonzero(named & granular).tolist():
        clauses[i].append("granules that shine in all channels")
    for channel, probability in zip(assay.channels, found.copies, strict=True):
        d, statistics = dots[channel], found.statistics[assay.channels.index(channel)]
        at_least = np.cumsum(probability[:, ::-1], axis=1)[:, ::-1][:, 1:]  # of the dot being a copy: so many copies or more
        doubtful = named[:, None] & d.there & (at_least > SURE) & (at_least < 1 - SURE)
        for i, j in zip(*(v.tolist() for v in np.nonzero(doubtful)), strict=True):
            others = d.height[i, :j] if j else np.array([statistics.level])
            place = "place lit in other channels, " if lit[channel][d.dot[i, j]] else ""
            clauses[i].append(
                f"{_ordinal(j)} {channel} dot: {np.exp(d.height[i, j] - others.mean()):.2f} of the others' height, "
                f"{place}{at_least[i, j]:.2f} that it is a copy"
            )
    return ["; ".join(one) or None for one in clauses]


def _ordinal(j: int) -> str:
    return ORDINALS[j] if j < len(ORDINALS) else f"{j + 1}th"
