"""Attention on the maps of the feature pyramid: weights of channels and of places (CBAM, Woo et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cacapp.algorithms.maskrcnn.network import LightBackbone

REDUCTION, REACH = 8, 7
"""Reduction factor of channels; side of the window of spatial attention."""


class Attention(nn.Module):
    """Attention module: (B, C, H, W) -> the same, weighted by channel, then by place; initially the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(
            nn.Linear(channels, channels // REDUCTION), nn.ReLU(inplace=True), nn.Linear(channels // REDUCTION, channels)
        )
        self.where = nn.Conv2d(2, 1, REACH, padding=REACH // 2)
        for last in (self.squeeze[-1], self.where):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        channels = self.squeeze(x.mean(dim=(2, 3))) + self.squeeze(x.amax(dim=(2, 3)))
        x = x * (2 * torch.sigmoid(channels))[:, :, None, None]
        seen = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * (2 * torch.sigmoid(self.where(seen)))


class AttentiveBackbone(LightBackbone):
    """Light backbone of ``maskrcnn`` with attention on each of its three maps."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({name: Attention(self.out_channels) for name in ("0", "1", "2")})

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {name: self.attention[name](maps) for name, maps in super().forward(image).items()}
