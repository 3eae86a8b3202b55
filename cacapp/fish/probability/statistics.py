"""What a frame's own dots say about copies and non-specific dots: a start from the highest dots, and renewal from their probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cacapp.arrays.robust import robust_sd
from cacapp.fish.assay.probability import Probability
from cacapp.fish.probability.candidates import Candidates
from cacapp.fish.probability.likelihood import DotStatistics, Explanations
from cacapp.types import Array

FEW = 5  # nuclei with dots: fewer have no level of their own
LEAST_LEVEL_SPREAD = 0.2  # of nuclei's levels, ln: binding differs from nucleus to nucleus
SLOPE_WEIGHT = 2.0  # squared ln(height) against which the change of the width with the height is held at none


def first_statistics(dots: Candidates, copies: int, use: Array, p: Probability) -> DotStatistics:
    """Return the statistics that the ``copies`` highest dots of each nucleus show, and for the rest what the assay expects.

    Args:
        use: (N,) bool, nuclei to learn from.
    """
    height, width = dots.height[use, :copies], dots.width[use, :copies]
    there = np.isfinite(height)
    number = there.sum(axis=1)
    mean = np.where(there, height, 0.0).sum(axis=1) / np.maximum(number, 1)
    level, level_spread = _level(mean[number > 0], 0.0, 1.0)
    x, y = (height - mean[:, None])[there], width[there]
    middle = float(y.mean()) if len(y) else 0.0
    slope = float((x * (y - middle)).sum() / ((x**2).sum() + SLOPE_WEIGHT))
    left = float(np.sqrt(((y - middle - slope * x) ** 2).mean())) if len(y) else 0.0
    width_spread = max(left, p.heights.min_width_spread)
    return DotStatistics(
        level=level,
        level_spread=level_spread,
        spread=p.heights.spread,
        rate=p.rates.non_specific,
        lower=float(np.log(p.heights.non_specific)),
        lower_spread=p.heights.non_specific_spread,
        width=middle,
        width_slope=slope,
        width_spread=width_spread,
        other_width=middle,
        other_width_spread=width_spread,
        odd_width=p.heights.odd_width,
    )


def renewed(before: DotStatistics, dots: Candidates, found: Explanations, marginal: Array, use: Array, p: Probability) -> DotStatistics:
    """Return the statistics that the explanations show, weighted by their probabilities, with what the assay expects (empirical Bayes).

    Args:
        marginal: (N, J + 1) probability of each number of copies.
        use: (N,) bool, nuclei to learn from.
    """
    h, weights = p.heights, marginal[use]
    k = np.arange(weights.shape[1])
    freedom = float((weights * np.maximum(k - 1, 0)).sum())
    squares = float((weights * found.squares[use]).sum())
    spread = np.sqrt((squares + h.spread_weight * h.spread**2) / (freedom + h.spread_weight))
    share = weights[:, :, None] * found.non_specific[use]
    n = float(share.sum())
    rate = (n + p.rates.non_specific * p.rates.non_specific_weight) / (np.count_nonzero(use) + p.rates.non_specific_weight)
    lower, lower_spread = _weighted(share, found.off[use], float(np.log(h.non_specific)), h.non_specific_spread, h.non_specific_weight)
    width = np.where(dots.there, dots.width, 0.0)[use][:, None, :]
    other_width, other_width_spread = _weighted(share, width, before.width, before.width_spread, h.width_weight)
    some = weights[:, 1:].sum(axis=1)
    means = (weights * found.mean[use]).sum(axis=1)[some > 0.5] / some[some > 0.5]
    level, level_spread = _level(means, before.level, before.level_spread)
    return replace(
        before,
        level=level,
        level_spread=level_spread,
        spread=float(np.clip(spread, h.min_spread, h.max_spread)),
        rate=rate,
        lower=lower,
        lower_spread=lower_spread,
        other_width=other_width,
        other_width_spread=max(other_width_spread, h.min_width_spread),
    )


def _level(means: Array, level: float, spread: float) -> tuple[float, float]:
    """Return the median of nuclei's levels and their robust standard deviation; the given ones where they are few."""
    if len(means) < FEW:
        return level, spread
    middle = float(np.median(means))
    return middle, max(LEAST_LEVEL_SPREAD, robust_sd(means, middle))


def _weighted(weight: Array, value: Array, expected: float, spread: float, expected_weight: float) -> tuple[float, float]:
    """Return mean and standard deviation of weighted values, with an expected mean and spread that count for ``expected_weight`` values."""
    total = float(weight.sum()) + expected_weight
    mean = (float((weight * value).sum()) + expected_weight * expected) / total
    variance = (float((weight * (value - mean) ** 2).sum()) + expected_weight * spread**2) / total
    return mean, float(np.sqrt(variance))
