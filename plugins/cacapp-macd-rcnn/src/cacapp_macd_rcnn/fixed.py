"""Fixed-size proposals: pooling of a proposal's box and of a window of fixed size around its centre.

A box scaled to 7 x 7 does not show the size of a nucleus; a window of fixed size does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cacapp.algorithms.maskrcnn.network import LIGHT_POOLED, pool

WINDOW_PX = 64.0
"""Side of the fixed window: twice a typical nucleus."""

SIDE = 7


class OwnAndFixedPool(nn.Module):
    """RoI pooling of (N, 2 C, 7, 7) from the maps: the proposal's box, and the window around its centre."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.fixed = pool(LIGHT_POOLED, SIDE), pool(LIGHT_POOLED, SIDE)

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], shapes: list[tuple[int, int]]) -> Tensor:
        return torch.cat([self.own(features, boxes, shapes), self.fixed(features, [windows(one) for one in boxes], shapes)], dim=1)


def windows(boxes_xyxy: Tensor) -> Tensor:
    """Return windows (N, 4) of WINDOW_PX around the centres of boxes (N, 4), px."""
    middles = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    return torch.cat([middles - WINDOW_PX / 2, middles + WINDOW_PX / 2], dim=1)
