"""Split signals: which dots are part of a stronger one, and which are copies of their own that touch."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from cacapp.types import Array, DotPairs, Signals

REACH_DIAMETERS = 2.0  # stronger dots further away are no concern of a dot
TOUCHING = 0.75  # of a diameter: full copies may come this close, halves of a split signal rarely part that far
FULL = 0.75  # of the nucleus' other signals: a half of a split signal has about half of their height


def split_signals(dots: Signals, cell: Array, diameter_px: float, pairs: DotPairs | None = None) -> tuple[Array, Array]:
    """Which dots are part of a stronger one that counts, of the same nucleus. The strongest are settled first.

    Two dots are one copy where one Gaussian explains both, or they are closer than a diameter; except that two dots at least ``TOUCHING``
    diameters apart, each at least ``FULL`` as high as the median of the nucleus' other dots, are two copies that touch.

    Args:
        dots: of one channel. cell: (N,) their nuclei.
        pairs: the fits of close ones; without, distances are those of the maxima and only they decide.

    Returns:
        split: (N,) bool.
        apart: (N,) how sure that is, in standard deviations of what decides (the distance, whose error is sigma / SNR of each dot, or the
            height), negative for a split dot; inf without a stronger dot within two diameters.
    """
    removed, apart = np.zeros(len(dots), bool), np.full(len(dots), np.inf)
    if len(dots) < 2:
        return removed, apart
    rank = np.empty(len(dots), np.int64)
    rank[np.argsort(-dots.amplitude, kind="stable")] = np.arange(len(dots))
    index = cKDTree(dots.yx).query_pairs(REACH_DIAMETERS * diameter_px, output_type="ndarray")
    index = index[cell[index[:, 0]] == cell[index[:, 1]]]
    swap = rank[index[:, 0]] > rank[index[:, 1]]
    index[swap] = index[swap][:, ::-1]
    index = index[np.lexsort((rank[index[:, 1]], rank[index[:, 0]]))]
    sure = _sureness(dots, cell, index, diameter_px, pairs)
    for (strong, weak), far in zip(index.tolist(), sure.tolist(), strict=True):
        if not removed[strong]:
            removed[weak] |= far < 0
            apart[weak] = min(apart[weak], far)
    return removed, apart


def _sureness(dots: Signals, cell: Array, index: Array, diameter_px: float, pairs: DotPairs | None) -> Array:
    """(K,) for each pair: how sure it is that the weaker dot is a copy of its own; negative: it is not."""
    distance = np.hypot(*(dots.yx[index[:, 0]] - dots.yx[index[:, 1]]).T)
    place = np.hypot(*(dots.sigma_px[index] / np.maximum(dots.snr[index], 1e-6)).T)
    sure = (distance - diameter_px) / np.maximum(place, 1e-6)
    if pairs is None:
        return np.asarray(sure)
    fits = {(int(i), int(j)): k for k, (i, j) in enumerate(pairs.index)}
    for n, (a, b) in enumerate(index.tolist()):
        k = fits.get((a, b), fits.get((b, a)))
        if k is None:
            continue
        separation = float(pairs.separation_px[k])
        sure[n] = (separation - diameter_px) / max(place[n], 1e-6)
        if not pairs.two[k]:
            sure[n] = -abs(sure[n])
        elif TOUCHING * diameter_px <= separation < diameter_px:
            others = (cell == cell[a]) & ~np.isin(np.arange(len(cell)), (a, b))
            if others.any():
                full = float(pairs.amplitude[k].min() / np.median(dots.amplitude[others])) - FULL
                sure[n] = full * float(dots.snr[b]) if full >= 0 else sure[n]
    return np.asarray(sure)
