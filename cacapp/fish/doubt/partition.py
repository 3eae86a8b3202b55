"""Cells whose gains are explained by two nuclei in one outline: a line parts the signals into a normal nucleus and the rest of another."""

from __future__ import annotations

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.rules import classify
from cacapp.types import Array


def splits_off_a_normal_nucleus(counts: Array, assay: Assay) -> Array:
    """(K,) bool: of a cell cut in two, neither part is a CAC or has a gain, and one has just what a normal nucleus has.

    A gained nucleus beside a normal one in one outline is rarer than a CAC with a step in its DAPI.

    Args:
        counts: (K, 2, P) int, signals per probe on either side of each of K cuts.
    """
    names = assay.class_names
    cac = np.array([name in assay.cac_classes for name in names])
    flat = counts.reshape(-1, counts.shape[-1])
    calm = ~cac[classify(flat, assay.classes, assay.channels)].reshape(-1, 2)
    copies = [p.copies for p in assay.probes]
    gained, normal = (counts > copies).any(axis=(1, 2)), (counts == copies).all(axis=2)
    result: Array = calm.all(axis=1) & ~gained & normal.any(axis=1)
    return result


def splits_into_two_non_cac(counts: Array, assay: Assay) -> Array:
    """(K,) bool: of a cell cut in two at a neck, neither part is a CAC, and either has signals of all probes but one at least.

    Args:
        counts: (K, 2, P) int, as for ``splits_off_a_normal_nucleus``.
    """
    cac = np.array([name in assay.cac_classes for name in assay.class_names])
    calm = ~cac[classify(counts.reshape(-1, counts.shape[-1]), assay.classes, assay.channels)].reshape(-1, 2)
    nuclei = (counts > 0).sum(axis=2) >= len(assay.probes) - 1
    return np.asarray(calm.all(axis=1) & nuclei.all(axis=1))


def more_than_tetraploid(counts: Array, assay: Assay) -> Array:
    """(N,) bool: twice the copies of a normal nucleus in every probe and still more in one, as several nuclei have and hardly one.

    Args:
        counts: (N, P) int.
    """
    twice = np.array([2 * p.copies for p in assay.probes])
    return np.asarray((np.asarray(counts) >= twice).all(axis=1) & (np.asarray(counts) > twice).any(axis=1))
