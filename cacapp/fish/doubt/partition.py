"""Counts on either side of a cut through a nucleus: whether two nuclei in one outline explain the gains."""

from __future__ import annotations

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.types import Array


def splits_off_a_normal_nucleus(counts: Array, assay: Assay) -> Array:
    """Return (K,) bool: neither part of the cut cell is a CAC or has a gain, and one has just what a normal nucleus has.

    A gained nucleus beside a normal one in one outline is rarer than a CAC with a step in its DAPI.

    Args:
        counts: (K, 2, P) int, signals per probe on either side of each of K cuts.
    """
    copies = [p.copies for p in assay.probes]
    gained, normal = (counts > copies).any(axis=(1, 2)), (counts == copies).all(axis=2)
    result: Array = _non_cac(counts, assay).all(axis=1) & ~gained & normal.any(axis=1)
    return result


def splits_into_two_non_cac(counts: Array, assay: Assay) -> Array:
    """Return (K,) bool: neither part of the cut cell is a CAC, and either has signals of all probes but one at least.

    Args:
        counts: (K, 2, P) int, as for ``splits_off_a_normal_nucleus``.
    """
    nuclei = (counts > 0).sum(axis=2) >= len(assay.probes) - 1
    return np.asarray(_non_cac(counts, assay).all(axis=1) & nuclei.all(axis=1))


def more_than_tetraploid(counts: Array, assay: Assay) -> Array:
    """Return (N,) bool: twice the copies of a normal nucleus in every probe and more than twice in one: several nuclei, hardly one.

    Args:
        counts: (N, P) int.
    """
    twice = np.array([2 * p.copies for p in assay.probes])
    return np.asarray((np.asarray(counts) >= twice).all(axis=1) & (np.asarray(counts) > twice).any(axis=1))


def _non_cac(counts: Array, assay: Assay) -> Array:
    """Return (K, 2) bool for (K, 2, P) counts."""
    return np.asarray(~assay.is_cac(counts.reshape(-1, counts.shape[-1])).reshape(-1, 2))
