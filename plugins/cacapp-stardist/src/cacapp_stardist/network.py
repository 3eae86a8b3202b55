"""StarDist's network in torch: a U-Net at half resolution; output: probability and distances to the outline per pixel.

As StarDist's Config2D with 32 rays, grid (2, 2), depth 3, 32 filters, 128 channels after the U-Net, and batch normalisation.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cacapp.weights.load import load_into

RAYS, GRID = 32, 2
NUCLEUS_PX = 24.0
"""Diameter of a nucleus at the scale of the network."""

SIDES_PX = 16
"""Sides of the input are multiples of this."""

_FILTERS, _DEPTH, _FEATURES = 32, 3, 128


class StarNetwork(nn.Module):
    """Network: (B, 1, H, W) float, 0..1, sides multiples of 16 -> logits of nearness (B, H/2, W/2), distances (B, 32, H/2, W/2) px."""

    def __init__(self) -> None:
        super().__init__()
        widths = [_FILTERS * 2**n for n in range(_DEPTH)]
        self.stem = _pair(1, _FILTERS)
        self.down = nn.ModuleList(_pair(before, width) for before, width in zip([_FILTERS, *widths], widths, strict=False))
        self.bottom = nn.Sequential(_conv(widths[-1], 2 * widths[-1]), _conv(2 * widths[-1], widths[-1]))
        self.up = nn.ModuleList(nn.Sequential(_conv(2 * w, w), _conv(w, max(w // 2, _FILTERS))) for w in reversed(widths))
        self.features = _conv(_FILTERS, _FEATURES)
        self.middle = nn.Conv2d(_FEATURES, 1, 1)
        self.rays = nn.Conv2d(_FEATURES, RAYS, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.max_pool2d(self.stem(image), GRID)
        skipped = []
        for stage in self.down:
            skipped.append(stage(x))
            x = functional.max_pool2d(skipped[-1], 2)
        x = self.bottom(x)
        for stage in self.up:
            x = stage(torch.cat([functional.interpolate(x, scale_factor=2.0), skipped.pop()], dim=1))
        x = self.features(x)
        return self.middle(x)[:, 0], self.rays(x)


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs), _conv(outputs, outputs))


@lru_cache(maxsize=2)
def load_network(path: Path, sha256: str, device: str) -> StarNetwork:
    """Load the network with the weights of a file, once per process; a file with another ``sha256`` is loaded anew.

    Raises CacappError for a damaged file or weights of another network.
    """
    network = StarNetwork()
    load_into(network, path)
    return network.to(device).eval()
