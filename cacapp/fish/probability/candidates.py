"""Candidate dots of a frame's nuclei, laid out as arrays: nuclei down, dots of one probe across, likely copies first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cacapp.types import Array

MAX_DOTS = 12  # of a probe in a nucleus; lower ones stay as they were judged


@dataclass(frozen=True, slots=True)
class Candidates:
    """Up to J dots of one probe in each of N nuclei, from the highest on; one that another source explains stands behind others as high.

    Attributes:
        height: (N, J) ln of the height in grey values, NaN where there is no dot.
        width: (N, J) ln of the width in px, NaN likewise.
        other: (N, J) rate of another source of the dot's light, relative to a copy.
        dot: (N, J) int, index into the channel's dots, -1 where there is none.
    """

    height: Array
    width: Array
    other: Array
    dot: Array

    @property
    def there(self) -> Array:
        """(N, J) bool, there is a dot."""
        return self.dot >= 0

    @property
    def number(self) -> Array:
        """(N,) int, the dots of each nucleus."""
        return np.asarray(self.there.sum(axis=1))


def lay_out(height: Array, width: Array, other: Array, cell: Array, which: Array, n_nuclei: int) -> Candidates:
    """Lay out the dots ``which`` (indices of M dots) of one channel.

    Args:
        height, width: (M,) grey values and px, > 0.
        other: (M,) rates.
        cell: (M,) the nucleus of each dot, >= 0 for those of ``which``.
    """
    order = which[np.lexsort((-height[which] / (1 + other[which]), cell[which]))]
    owner = cell[order]
    rank = np.arange(len(order)) - np.searchsorted(owner, owner)
    across = int(min(MAX_DOTS, rank.max(initial=0) + 1))
    order, owner, rank = order[rank < across], owner[rank < across], rank[rank < across]
    dot = np.full((n_nuclei, across), -1, np.int64)
    dot[owner, rank] = order
    values = []
    for value, missing in ((np.log(height[order]), np.nan), (np.log(width[order]), np.nan), (other[order], 0.0)):
        table = np.full((n_nuclei, across), missing)
        table[owner, rank] = value
        values.append(table)
    return Candidates(values[0], values[1], values[2], dot)
