"""Light of the other channels where a dot lies: granules and debris shine in all of them, a copy in its own and by bleed-through alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cacapp.types import Array

KERNEL_SIGMAS = 3.0  # reach of the filter
DOTS_AT_ONCE = 4096  # bounds the memory of a frame full of specks


def second_light(planes: Mapping[str, Array], channel: str, yx: Array, height: Array, sigma_px: float, reach_px: float) -> Array:
    """Return (N,) how bright the place of each dot is in other channels: the second largest height there, in heights of the dot.

    The largest may be the bleed-through of a neighbouring dye. With fewer than two other channels it is 0.

    Args:
        planes: (Y, X) by channel.
        yx: (N, 2) px; height: (N,) grey values.
        sigma_px: standard deviation of a dot.
        reach_px: the height is the largest within this distance, for the channels' geometry differs.
    """
    others = [c for c in planes if c != channel]
    if len(others) < 2 or not len(yx):
        return np.zeros(len(yx))
    kernels, offsets = _kernels(sigma_px, reach_px)
    result = np.zeros(len(yx))
    for start in range(0, len(yx), DOTS_AT_ONCE):
        part = slice(start, start + DOTS_AT_ONCE)
        heights = [_largest(planes[c], yx[part], kernels, offsets) for c in others]
        result[part] = np.sort(heights, axis=0)[-2] / np.maximum(height[part], 1e-6)
    return result


def _largest(plane: Array, yx: Array, kernels: Array, offsets: Array) -> Array:
    """Return (N,) the largest response of the plane to the kernels, (n, K), over pixels at ``offsets``, (n, 2), from each position."""
    at = np.rint(yx).astype(np.int64)[:, None, :] + offsets
    rows, cols = np.clip(at[..., 0], 0, plane.shape[0] - 1), np.clip(at[..., 1], 0, plane.shape[1] - 1)
    return np.asarray((plane[rows, cols].astype(np.float32) @ kernels).max(axis=1))


def _kernels(sigma_px: float, reach_px: float) -> tuple[Array, Array]:
    """Return filters (n, K), one for each place within the reach, whose response to a Gaussian dot there is its height.

    Each is the negative Laplacian of a Gaussian without its mean, so that even light gives 0.
    """
    half = int(np.ceil(KERNEL_SIGMAS * sigma_px + reach_px))
    offsets = np.argwhere(np.ones((2 * half + 1, 2 * half + 1), bool)) - half
    places = offsets[np.hypot(*offsets.T) <= reach_px]
    square = ((offsets[:, None, :] - places) ** 2).sum(axis=2) / (2 * sigma_px**2)
    kernels = (1 - square) * np.exp(-square)
    near = square <= KERNEL_SIGMAS**2 / 2
    kernels = np.where(near, kernels - (kernels * near).sum(axis=0) / near.sum(axis=0), 0.0)
    kernels /= (kernels * np.exp(-square)).sum(axis=0)
    return kernels.astype(np.float32), offsets


def same_place(yx: Sequence[Array], cell: Sequence[Array], radius_px: float) -> list[Array]:
    """Return by channel (N,) bool: a dot of another channel in the same nucleus lies within the radius."""
    from scipy.spatial import cKDTree

    channel = np.concatenate([np.full(len(one), i) for i, one in enumerate(yx)])
    nucleus, place = np.concatenate(cell), np.concatenate(yx)
    met = np.zeros(len(channel), bool)
    if len(channel):
        one, two = cKDTree(place).query_pairs(radius_px, output_type="ndarray").T
        pair = (channel[one] != channel[two]) & (nucleus[one] == nucleus[two])
        met[one[pair]] = met[two[pair]] = True
    return np.split(met, np.cumsum([len(one) for one in yx])[:-1])
