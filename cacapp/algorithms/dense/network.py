"""Network of segmenter ``dense``: for each pixel the foreground, the border and the offset to the centre of its nucleus.

A convolutional encoder (that of ``nuclei_t``) and a light decoder. The output is as in Panoptic-DeepLab (Cheng et al. 2020) and
spatial embeddings (Neven et al. 2019): foreground and an offset to the centre of the instance. Nuclei are about 40 px across.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cacapp.algorithms.sam.nuclei_t import EMBED, FINE2, FINE4, ConvEncoder

NUCLEUS_PX = 40.0
"""Diameter of a typical nucleus at the scale of the network; larger than for nuclei_t, since small nuclei are missed first."""

OUTPUT_STRIDE = 2
SIDES_PX = 16  # sides of the input are multiples of this
OFFSET_UNIT_PX = 16.0
FOREGROUND, BORDER, OFFSET_Y, OFFSET_X = range(4)

_WIDE4, _WIDE2 = 48, 24


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class DenseNetwork(nn.Module):
    """Network: (B, 1, H, W) float, 0..1, sides multiples of 16 -> (B, 4, H/2, W/2): logits of foreground and border, offset (y, x) to
    the centre in units of OFFSET_UNIT_PX."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ConvEncoder()
        self.widen8 = nn.Conv2d(EMBED, 4 * 40, 1)
        self.mix4 = nn.Sequential(_conv(40 + FINE4, _WIDE4), _conv(_WIDE4, _WIDE4))
        self.widen4 = nn.Conv2d(_WIDE4, 4 * 20, 1)
        self.mix2 = nn.Sequential(_conv(20 + FINE2, _WIDE2), nn.Conv2d(_WIDE2, 4, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        x8, fine4, fine2 = self.encoder.maps(image)
        x4 = self.mix4(torch.cat([functional.pixel_shuffle(self.widen8(x8), 2), fine4], dim=1))
        output: Tensor = self.mix2(torch.cat([functional.pixel_shuffle(self.widen4(x4), 2), fine2], dim=1))
        return output
