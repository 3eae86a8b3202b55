"""Shapes with known measures, drawn pixel by pixel from their formula."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings

from cacapp.types import Array, Instance

# no deadline: tests share their machine; the same examples each time: a tolerance is no lottery
settings.register_profile("cacapp", deadline=None, derandomize=True)
settings.load_profile("cacapp")


def _ellipse(long_px: float, short_px: float, angle: float = 0.0, centre_yx: tuple[float, float] = (0.0, 0.0)) -> Array:
    """(h, w) bool: pixels whose centre lies in the ellipse of these half axes; odd sides, centred (plus ``centre_yx``)."""
    half = int(max(long_px, short_px)) + 3
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    y, x = y - centre_yx[0], x - centre_yx[1]
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return (u / long_px) ** 2 + (v / short_px) ** 2 <= 1


def _rectangle(length_px: float, width_px: float, angle: float = 0.0) -> Array:
    """(h, w) bool: pixels whose centre lies in the rotated rectangle."""
    half = int(np.hypot(length_px, width_px) / 2) + 3
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return (np.abs(u) <= length_px / 2) & (np.abs(v) <= width_px / 2)


def _at(mask: Array, left: int = 0, top: int = 0) -> Instance:
    """An instance with the mask's own tight box, moved by (left, top)."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    crop = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return Instance((left + int(cols[0]), top + int(rows[0]), crop.shape[1], crop.shape[0]), np.ascontiguousarray(crop))


@pytest.fixture(scope="session")
def ellipse() -> Callable[..., Array]:
    return _ellipse


@pytest.fixture(scope="session")
def rectangle() -> Callable[..., Array]:
    return _rectangle


@pytest.fixture(scope="session")
def at() -> Callable[..., Instance]:
    return _at
