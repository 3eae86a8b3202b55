"""One copy or two: close dots of a channel fitted by one Gaussian and by two, and split signals counted once."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from cacapp.types import Array, DotPairs, Signals

PATCH_SIGMAS = 3.0
ROUNDS = 12
MIN_PIXELS = 20
REACH_DIAMETERS = 2.0  # stronger dots further away do not matter
TOUCHING = 0.75  # of a diameter: full copies may come this close, halves of a split signal are rarely that far apart
FULL = 0.75  # of the nucleus' other signals: a half of a split signal has about half of their height


def fit_pairs(plane: Array, dots: Signals, reach_px: float) -> DotPairs:
    """Fit every pair of dots at most ``reach_px`` apart by one round Gaussian of any width and by two of the dots' own width.

    Both models stand on a flat background and are fitted by Gauss-Newton steps with Levenberg's damping. Which of them fits
    the pixels better is decided by the Bayesian information criterion, n ln(RSS / n) + k ln n (Schwarz 1978), with k = 5 and 7 parameters.

    Args:
        plane: (Y, X) of any numeric dtype.
        dots: of this plane.
    """
    if len(dots) < 2:
        return DotPairs.empty()
    index = cKDTree(dots.yx).query_pairs(reach_px, output_type="ndarray")
    index = index[np.lexsort((index[:, 1], index[:, 0]))]
    separation, amplitude, two = np.zeros(len(index)), np.zeros((len(index), 2)), np.zeros(len(index), bool)
    for k, (i, j) in enumerate(index.tolist()):
        pair = [i, j]
        separation[k], amplitude[k], two[k] = _fit(
            plane, dots.yx[pair].astype(float), dots.amplitude[pair], float(dots.sigma_px[pair].min())
        )
    return DotPairs(index, separation, amplitude, two)


def _fit(plane: Array, yx: Array, amplitude: Array, sigma: float) -> tuple[float, Array, bool]:
    """Return separation (px), the two amplitudes, and whether two Gaussians are the better model."""
    reach = PATCH_SIGMAS * sigma
    top, left = np.maximum(np.floor(yx.min(axis=0) - reach).astype(int), 0)
    bottom, right = np.minimum(np.ceil(yx.max(axis=0) + reach).astype(int) + 1, plane.shape)
    patch = plane[top:bottom, left:right].astype(float)
    rows, cols = np.mgrid[top:bottom, left:right]
    near = (np.hypot(rows - yx[0, 0], cols - yx[0, 1]) <= reach) | (np.hypot(rows - yx[1, 0], cols - yx[1, 1]) <= reach)
    y, x, value = rows[near].astype(float), cols[near].astype(float), patch[near]
    distance = float(np.hypot(*(yx[0] - yx[1])))
    if len(value) < MIN_PIXELS:
        return distance, np.asarray(amplitude, float), True
    ground = float(np.percentile(value, 10))
    middle = yx.mean(axis=0)
    one, one_rss = _least_squares(y, x, value, np.array([ground, amplitude.max(), *middle, np.hypot(sigma, distance / 2)]), None)
    start = np.array([ground, amplitude[0], *yx[0], amplitude[1], *yx[1]], float)
    two, two_rss = _least_squares(y, x, value, start, sigma)
    n = len(value)
    better = n * np.log(two_rss / n) + len(two) * np.log(n) < n * np.log(one_rss / n) + len(one) * np.log(n)
    moved = max(np.hypot(*(two[2:4] - yx[0])), np.hypot(*(two[5:7] - yx[1])))
    if moved > 2 * sigma or min(two[1], two[4]) <= 0.1 * min(amplitude):  # the fit diverged: there is nothing to fit
        return distance, np.asarray(amplitude, float), bool(better)
    return float(np.hypot(*(two[2:4] - two[5:7]))), two[[1, 4]], bool(better)


def _least_squares(y: Array, x: Array, value: Array, start: Array, sigma: float | None) -> tuple[Array, float]:
    """Fit background + Gaussians (amplitude, y, x) by Levenberg-Marquardt; the width is given, or free and the last of ``start``."""
    parameters, damping = start.copy(), 1e-3
    model, slopes = _model(y, x, parameters, sigma)
    rss = float(((value - model) ** 2).sum())
    for _ in range(ROUNDS):
        square = slopes.T @ slopes
        step = np.linalg.lstsq(square + damping * np.diag(np.diag(square) + 1e-12), slopes.T @ (value - model), rcond=None)[0]
        tried = parameters + step
        if sigma is None:
            tried[-1] = max(tried[-1], 0.5)
        new_model, new_slopes = _model(y, x, tried, sigma)
        new = float(((value - new_model) ** 2).sum())
        if new < rss:
            done = rss - new < 1e-6 * rss
            parameters, model, slopes, rss, damping = tried, new_model, new_slopes, new, damping / 5
            if done:
                break
        else:
            damping *= 10
    return parameters, max(rss, 1e-12)


def _model(y: Array, x: Array, parameters: Array, sigma: float | None) -> tuple[Array, Array]:
    """Return the values (n,) and their slopes (n, k)."""
    model, slopes = np.full(len(y), parameters[0]), [np.ones(len(y))]
    width = float(parameters[-1]) if sigma is None else sigma
    for k in range(1, len(parameters) - (sigma is None), 3):
        height, cy, cx = parameters[k : k + 3]
        square = (y - cy) ** 2 + (x - cx) ** 2
        bell = np.exp(-square / (2 * width**2))
        model = model + height * bell
        slopes += [bell, height * bell * (y - cy) / width**2, height * bell * (x - cx) / width**2]
        if sigma is None:
            slopes.append(height * bell * square / width**3)
    return model, np.stack(slopes, axis=1)


def split_signals(dots: Signals, cell: Array, diameter_px: float, pairs: DotPairs | None = None) -> tuple[Array, Array]:
    """Find the dots that are part of a stronger one that counts, of the same nucleus. The strongest are decided first.

    Two dots are one copy where one Gaussian explains both, or they are closer than a diameter; except that two dots at least ``TOUCHING``
    diameters apart, each at least ``FULL`` as high as the median of the nucleus' other dots, are two copies that touch.

    Args:
        dots: of one channel. cell: (N,) their nuclei.
        pairs: the fits of close ones; None: the distances of the maxima decide alone.

    Returns:
        split: (N,) bool.
        apart: (N,) certainty of that, in standard deviations of what decides (the distance, whose error is sigma / SNR of each dot, or the
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
    certainty = _certainty_of_copies(dots, cell, index, diameter_px, pairs)
    for (strong, weak), far in zip(index.tolist(), certainty.tolist(), strict=True):
        if not removed[strong]:
            removed[weak] |= far < 0
            apart[weak] = min(apart[weak], far)
    return removed, apart


def _certainty_of_copies(dots: Signals, cell: Array, index: Array, diameter_px: float, pairs: DotPairs | None) -> Array:
    """Return (K,) for each pair how certain it is that the weaker dot is a copy of its own; negative: it is not."""
    distance = np.hypot(*(dots.yx[index[:, 0]] - dots.yx[index[:, 1]]).T)
    place = np.hypot(*(dots.sigma_px[index] / np.maximum(dots.snr[index], 1e-6)).T)
    certainty = (distance - diameter_px) / np.maximum(place, 1e-6)
    if pairs is None:
        return np.asarray(certainty)
    fits = {(int(i), int(j)): k for k, (i, j) in enumerate(pairs.index)}
    for n, (a, b) in enumerate(index.tolist()):
        k = fits.get((a, b), fits.get((b, a)))
        if k is None:
            continue
        separation = float(pairs.separation_px[k])
        certainty[n] = (separation - diameter_px) / max(place[n], 1e-6)
        if not pairs.two[k]:
            certainty[n] = -abs(certainty[n])
        elif TOUCHING * diameter_px <= separation < diameter_px:
            others = (cell == cell[a]) & ~np.isin(np.arange(len(cell)), (a, b))
            if others.any():
                full = float(pairs.amplitude[k].min() / np.median(dots.amplitude[others])) - FULL
                certainty[n] = full * float(dots.snr[b]) if full >= 0 else certainty[n]
    return np.asarray(certainty)
