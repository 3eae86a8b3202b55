"""Localisation of objects similar to the examples: one feature of the centre, four of the sides (after MedLSAM, Lei et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from cacapp.types import Array
from cacapp_fewshot.features import FeatureMap

FINE = 4
"""Points per cell along each axis: similarity is interpolated between cells, so that neighbours have separate maxima."""

SIDES_YX = ((0.0, -1.0), (-1.0, 0.0), (0.0, 1.0), (1.0, 0.0))
"""Directions from the centre to the left, upper, right and lower side."""

SHORTEST, LONGEST, STEPS = 0.5, 1.8, 27
"""Range of the search for sides from the centre, in half sides of the examples, and number of places."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Features of the examples.

    Attributes:
        middles: (K, C), of length 1, at the centres of the examples.
        sides: (4, C), mean over the examples, of length 1; in the order of SIDES_YX.
        half_px: (2,) half a typical height and width, px of the scaled frame.
    """

    middles: Tensor
    sides: Tensor
    half_px: Array


def learn(maps: Sequence[tuple[FeatureMap, Array]]) -> Likeness:
    """Compute the features of boxes (N, 4), (left, top, right, bottom) px of the scaled frame of each map."""
    middles, sides, halves = [], [], []
    for one, boxes in maps:
        centre_yx = np.stack([boxes[:, [1, 3]].mean(1), boxes[:, [0, 2]].mean(1)], axis=1)
        half_yx = np.stack([boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]], axis=1) / 2
        middles.append(at(one, centre_yx))
        sides.append(torch.stack([at(one, centre_yx + half_yx * side) for side in SIDES_YX], dim=1))
        halves.append(half_yx)
    return Likeness(
        functional.normalize(torch.cat(middles), dim=1),
        functional.normalize(torch.cat(sides).mean(dim=0), dim=1),
        np.median(np.concatenate(halves), axis=0),
    )


def locate(one: FeatureMap, like: Likeness, least: float, apart: float) -> tuple[Array, Array]:
    """Find boxes (N, 4) float64, (left, top, right, bottom) px of the scaled frame, and their similarity (N,) in 0..1.

    Args:
        least: least cosine similarity of an object's centre.
        apart: least distance between centres, in half sides of the examples.
    """
    height, width = one.features.shape[1:]
    coarse = (like.middles @ one.features.flatten(1)).amax(dim=0).reshape(1, 1, height, width)
    fine = functional.interpolate(coarse, scale_factor=FINE, mode="bicubic", align_corners=False)[0, 0].numpy()
    step_px = one.stride_px / FINE
    reach = max(1, int(apart * float(like.half_px.min()) / step_px))
    rows, columns = np.nonzero((fine >= least) & (fine >= ndimage.maximum_filter(fine, 2 * reach + 1)))
    if not len(rows):
        return np.zeros((0, 4)), np.zeros(0)
    centres_yx = (np.stack([rows, columns], axis=1) + 0.5) * step_px - 0.5
    reaches = np.linspace(SHORTEST, LONGEST, STEPS)
    far = []
    for side, look in zip(SIDES_YX, like.sides, strict=True):
        places = centres_yx[:, None] + reaches[None, :, None] * like.half_px * side
        alike = at(one, places.reshape(-1, 2)) @ look
        far.append(reaches[alike.reshape(len(rows), STEPS).argmax(dim=1).numpy()])
    left, top, right, bottom = far
    y, x = centres_yx.T
    half_y, half_x = like.half_px
    boxes = np.stack([x - left * half_x, y - top * half_y, x + right * half_x, y + bottom * half_y], axis=1)
    return boxes, np.clip(fine[rows, columns], 0, 1)


def at(one: FeatureMap, points_yx: Array) -> Tensor:
    """Interpolate features (N, C), of length 1, at points (N, 2) px; beyond the map those of its border."""
    height, width = one.features.shape[1:]
    cells = (torch.from_numpy(np.asarray(points_yx, np.float32)) + 0.5) / one.stride_px
    grid = torch.stack([2 * cells[:, 1] / width - 1, 2 * cells[:, 0] / height - 1], dim=-1)
    found = functional.grid_sample(one.features[None], grid[None, None], padding_mode="border", align_corners=False)[0, :, 0]
    return functional.normalize(found.T, dim=1)
