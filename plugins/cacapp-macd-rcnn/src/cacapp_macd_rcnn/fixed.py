"""Fixed-size proposals: beside a proposal's own box, one of a fixed size around its middle is looked at.

Cut to its own box and scaled to 7 x 7, a large nucleus looks like a small one; in a window of fixed size, its size is seen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cacapp.algorithms.maskrcnn.network import LIGHT_POOLED, pool

WINDOW_PX = 64.0
"""Side of the fixed window: twice a typical nucleus."""

SIDE = 7


class OwnAndFixedPool(nn.Module):
    """Cuts (N, 2 C, 7, 7) from the maps: the proposal's own box, and the window around its middle."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.fixed = pool(LIGHT_POOLED, SIDE), pool(LIGHT_POOLED, SIDE)

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], shapes: list[tuple[int, int]]) -> Tensor:
        return torch.cat([self.own(features, boxes, shapes), self.fixed(features, [windows(one) for one in boxes], shapes)], dim=1)


def windows(boxes_xyxy: Tensor) -> Tensor:
    """Windows (N, 4) of WINDOW_PX around the middles of boxes (N, 4), px."""
    middles = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    return torch.cat([middles - WINDOW_PX / 2, middles + WINDOW_PX / 2], dim=1)
