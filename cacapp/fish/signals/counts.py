"""Signal counts of a frame's nuclei, their possible range, and what it would cost to change them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.signals.judge import Spots
from cacapp.types import Array


def count_signals(spots: Mapping[str, Spots], n_nuclei: int, assay: Assay) -> Array:
    """Return the counted signals of each nucleus, (n_nuclei, P) int64, probes in the assay's order."""
    counts = np.zeros((n_nuclei, len(assay.probes)), np.int64)
    for column, channel in enumerate(assay.channels):
        s = spots[channel]
        counts[:, column] = np.bincount(s.cell[s.counts], minlength=n_nuclei)
    return counts


def count_range(spots: Mapping[str, Spots], n_nuclei: int, assay: Assay) -> tuple[Array, Array]:
    """Return fewest and most signals, (n_nuclei, P) int64 both: without and with every signal that a neighbour could own."""
    low = count_signals(spots, n_nuclei, assay)
    high = low.copy()
    for column, channel in enumerate(assay.channels):
        s = spots[channel]
        ambiguous = s.counts & s.ambiguous
        low[:, column] -= np.bincount(s.cell[ambiguous], minlength=n_nuclei)
        high[:, column] += np.bincount(s.other[ambiguous & (s.other >= 0)], minlength=n_nuclei)
    return low, high


def nuclei_with_signals_in_overlaps(spots: Mapping[str, Spots], n_nuclei: int) -> Array:
    """Return (n_nuclei,) bool: a counted signal lies in the overlap of this nucleus with another, so neither count can be trusted."""
    found = np.zeros(n_nuclei, bool)
    for s in spots.values():
        both = s.counts & s.in_overlap
        found[s.cell[both]] = True
        found[s.other[both]] = True
    return found


def flip_costs(spots: Mapping[str, Spots], n_nuclei: int, assay: Assay) -> tuple[Array, Array]:
    """Return what it costs to lose and to gain a signal, SNR, both (n_nuclei, P) float64 >= 0: how near each count is to another.

    Losing costs the slack of the counted dot that has least of it, gaining what the best of the dots that do not count is short of: below
    the minimum SNR, weak beside the nucleus' own signals, or one with another. inf where there is no such dot.
    """
    lose = np.full((n_nuclei, len(assay.probes)), np.inf)
    gain = np.full((n_nuclei, len(assay.probes)), np.inf)
    for column, channel in enumerate(assay.channels):
        s = spots[channel]
        np.minimum.at(lose[:, column], s.cell[s.counts], np.maximum(s.slack[s.counts], 0))
        near = ~s.counts & (s.cell >= 0) & np.isfinite(s.slack)
        np.minimum.at(gain[:, column], s.cell[near], np.maximum(-s.slack[near], 0))
    return lose, gain
