"""Targets and losses of the network of segmenter ``dense``."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cacapp.algorithms.dense.network import BORDER, FOREGROUND, OFFSET_UNIT_PX, OFFSET_Y, OUTPUT_STRIDE
from cacapp.types import Array

DICE_WEIGHT, BORDER_WEIGHT, OFFSET_WEIGHT = 0.3, 0.5, 2.0


def targets_of(labels: Array) -> Array:
    """Convert (Y, X) int labels at full resolution to (5, Y/2, X/2) float32: foreground, border, offset y, offset x, weight.

    The weight of a nucleus is about the square root of its area; that of UNKNOWN pixels is 0.
    """
    small = labels[::2, ::2]
    high = cv2.dilate(small.astype(np.float32), np.ones((3, 3), np.uint8))
    low = cv2.erode(np.where(small < 0, 0, small).astype(np.float32), np.ones((3, 3), np.uint8))
    inside = small > 0
    border = (high != low) & (high > 0) & (small >= 0)
    n = int(small.max()) + 1 if inside.any() else 1
    place = np.where(inside, small, 0).ravel()
    area = np.maximum(np.bincount(place, minlength=n), 1).astype(np.float32)
    result = np.zeros((5, *small.shape), np.float32)
    result[0], result[1] = inside, border
    grid = np.mgrid[: small.shape[0], : small.shape[1]].astype(np.float32)
    for k in (0, 1):
        centre = np.bincount(place, grid[k].ravel(), minlength=n) / area
        result[2 + k] = np.where(inside, (centre[place].reshape(small.shape) - grid[k]) * OUTPUT_STRIDE / OFFSET_UNIT_PX, 0)
    weight = np.clip(np.sqrt(200 / area), 0.6, 2.5)
    weight[0] = 1
    result[4] = weight[place].reshape(small.shape) * (small >= 0)
    return result


def losses_of(output: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return the weighted losses of a batch by name: cross entropy and Dice of the foreground, cross entropy of borders, smooth L1 of
    the offsets.

    Args:
        output: (B, 4, h, w) of the network. target: (B, 5, h, w), see ``targets_of``.
    """
    inside, border, weight = target[:, 0], target[:, 1], target[:, 4]
    total = weight.sum().clamp(min=1)
    cross = functional.binary_cross_entropy_with_logits
    fore = (cross(output[:, FOREGROUND], inside, reduction="none") * weight).sum() / total
    edge = (cross(output[:, BORDER], border, reduction="none") * weight).sum() / total
    p = torch.sigmoid(output[:, FOREGROUND]) * (weight > 0)
    dice = 1 - ((2 * p * inside).sum((1, 2)) + 20) / (p.sum((1, 2)) + inside.sum((1, 2)) + 20)
    miss = functional.smooth_l1_loss(output[:, OFFSET_Y : OFFSET_Y + 2], target[:, 2:4], reduction="none", beta=0.1).sum(1)
    weighted = inside * weight
    offset = (miss * weighted).sum() / weighted.sum().clamp(min=1)
    return {"foreground": fore, "dice": DICE_WEIGHT * dice.mean(), "border": BORDER_WEIGHT * edge, "offset": OFFSET_WEIGHT * offset}
