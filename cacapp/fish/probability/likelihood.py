"""How well a number of copies explains the dots of a probe in a nucleus: their heights and widths, copies being the first ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from cacapp.fish.probability.candidates import Candidates
from cacapp.types import Array

LEAST_DENSITY = 1e-12  # keeps a logarithm finite; far below what any dot gives


@dataclass(frozen=True, slots=True)
class DotStatistics:
    """Properties of a channel's dots in a frame. Heights and widths as natural logarithms.

    Attributes:
        level, level_spread: mean height of a nucleus' copies, and its standard deviation from nucleus to nucleus.
        spread: standard deviation of copies within a nucleus.
        rate: non-specific dots in a nucleus.
        lower, lower_spread: height of non-specific dots against the nucleus' copies, and its standard deviation.
        width, width_slope, width_spread: width of a copy as high as the nucleus' mean, its change with the height, its standard deviation.
        other_width, other_width_spread: the same of non-specific dots, at any height.
        odd_width: density of widths that fit neither.
    """

    level: float
    level_spread: float
    spread: float
    rate: float
    lower: float
    lower_spread: float
    width: float
    width_slope: float
    width_spread: float
    other_width: float
    other_width_spread: float
    odd_width: float


@dataclass(frozen=True, slots=True)
class Explanations:
    """The explanations of the dots of N nuclei by k = 0 ... J copies.

    Attributes:
        log_likelihood: (N, J + 1), -inf for more copies than dots.
        mean: (N, J + 1) mean height of the copies.
        squares: (N, J + 1) sum of their squared distances from it.
        off: (N, J + 1, J) height of each dot against the level that its nucleus' copies show.
        non_specific: (N, J + 1, J) probability that a dot is non-specific, 0 for copies.
    """

    log_likelihood: Array
    mean: Array
    squares: Array
    off: Array
    non_specific: Array


def explain(dots: Candidates, s: DotStatistics) -> Explanations:
    """Return the likelihood of every number of copies.

    The first k dots are copies: ln(height) is normal about the nucleus' own level, which is normal about the frame's and integrated out.
    The others are a Poisson process: non-specific dots, normal in ln(height) below that level, and other light, as high as copies.
    """
    there, n_dots = dots.there, dots.height.shape[1]
    height = np.where(there, dots.height, 0.0)
    k = np.arange(n_dots + 1)
    start = np.zeros((len(height), 1))
    total = np.concatenate([start, np.cumsum(height, axis=1)], axis=1)
    squared = np.concatenate([start, np.cumsum(height**2, axis=1)], axis=1)
    mean = total / np.maximum(k, 1)
    squares = np.maximum(squared - k * mean**2, 0.0)
    within, between = s.spread**2, s.level_spread**2
    log_copies = (
        -k / 2 * np.log(2 * np.pi * within)
        + 0.5 * np.log(within / (within + k * between))
        - squares / (2 * within)
        - k * (mean - s.level) ** 2 / (2 * (within + k * between))
        + gammaln(k + 1)  # orders of one and the same set
    )
    level = (total * between + s.level * within) / (k * between + within)
    off = np.where(there[:, None, :], height[:, None, :] - level[:, :, None], 0.0)
    copy, lower = _bell(off, 0.0, s.spread), _bell(off, s.lower, s.lower_spread)
    width = np.where(there, dots.width, 0.0)[:, None, :]
    fits_copy = _width_density(width - (s.width + s.width_slope * off), s.width_spread, s.odd_width)
    fits_other = _width_density(width - s.other_width, s.other_width_spread, s.odd_width)
    own = s.rate * lower * fits_other
    rest = own + dots.other[:, None, :] * copy * fits_copy + LEAST_DENSITY
    is_rest = there[:, None, :] & (np.arange(n_dots) >= k[:, None])
    is_copy = there[:, None, :] & (np.arange(n_dots) < k[:, None])
    log_likelihood = log_copies + np.where(is_rest, np.log(rest), 0.0).sum(axis=2) + np.where(is_copy, np.log(fits_copy), 0.0).sum(axis=2)
    log_likelihood = np.where(k <= dots.number[:, None], log_likelihood, -np.inf)
    return Explanations(log_likelihood, mean, squares, off, np.where(is_rest, own / rest, 0.0))


def _bell(x: Array, mean: float, sd: float) -> Array:
    """Return the density of a normal distribution."""
    return np.asarray(np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi)))


def _width_density(off: Array, sd: float, odd: float) -> Array:
    """Return the density of a width: normal, and a little everywhere, so that no width alone decides. Every dot has one: scale cancels."""
    return np.asarray(np.exp(-0.5 * (off / sd) ** 2) / sd + odd)
