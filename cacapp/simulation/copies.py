"""Kinds of cells and their copy numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cacapp.exceptions import UsageError
from cacapp.types import PROBE_CHANNELS

KINDS = ("normal", "loss", "gain", "triploid", "tetraploid", "cac", "failed")


def draw_copies(rng: np.random.Generator, kind: str) -> tuple[int, ...]:
    """Draw the copies of the four probes of one cell, in PROBE_CHANNELS order.

    normal 2,2,2,2; loss one probe with 1; gain one probe with 3 or 4; triploid 3,3,3,3; tetraploid 4,4,4,4;
    cac two or three probes with 3 to 5; failed one probe with 0 (no hybridisation).
    """
    n = len(PROBE_CHANNELS)
    copies = [2] * n
    if kind == "loss":
        copies[rng.integers(n)] = 1
    elif kind == "failed":
        copies[rng.integers(n)] = 0
    elif kind == "gain":
        copies[rng.integers(n)] = int(rng.integers(3, 5))
    elif kind == "triploid":
        copies = [3] * n
    elif kind == "tetraploid":
        copies = [4] * n
    elif kind == "cac":
        for i in rng.choice(n, rng.integers(2, 4), replace=False):
            copies[i] = int(rng.integers(3, 6))
    return tuple(copies)


def draw_kinds(rng: np.random.Generator, nuclei: int, kinds: Mapping[str, float]) -> list[str]:
    """Draw the kind of each nucleus.

    Args:
        kinds: whole numbers are exact counts and must sum to ``nuclei``; fractions are probabilities and must sum to 1.

    Raises:
        UsageError: an unknown kind, a negative value or a wrong sum.
    """
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise UsageError(f"kinds: unknown {', '.join(unknown)}; there are {', '.join(KINDS)}")
    values = list(kinds.values())
    if any(v < 0 for v in values):
        raise UsageError("kinds: negative values are not possible")
    if values and all(isinstance(v, int) for v in values):
        if sum(values) != nuclei:
            raise UsageError(f"kinds: exact counts sum to {sum(values)}, but nuclei is {nuclei}; write probabilities as fractions (1.0)")
        drawn = [kind for kind, count in kinds.items() for _ in range(int(count))]
        return [drawn[i] for i in rng.permutation(nuclei)]
    if abs(sum(values) - 1) > 1e-6:
        raise UsageError(f"kinds: probabilities sum to {sum(values):g}, not 1")
    share = np.array(values, float)
    return [list(kinds)[i] for i in rng.choice(len(share), size=nuclei, p=share / share.sum())]
