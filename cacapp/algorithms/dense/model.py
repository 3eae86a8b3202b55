"""Network of segmenter ``dense``, loaded once per process and run on frames of any size."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch

from cacapp.algorithms.dense.network import FOREGROUND, OFFSET_UNIT_PX, OFFSET_Y, OUTPUT_STRIDE, SIDES_PX, DenseNetwork
from cacapp.types import Array
from cacapp.weights.load import load_into

EDGE_PX = SIDES_PX
"""Width of the mirrored border around the image."""


@lru_cache(maxsize=2)
def load_network(path: Path, sha256: str, device: str) -> DenseNetwork:
    """Load the network with the weights of a file, once per process; a file with another ``sha256`` is loaded anew.

    Raises CacappError for a damaged file or weights of another network.
    """
    network = DenseNetwork()
    load_into(network, path)
    network.to(device)
    network.to(memory_format=torch.channels_last)
    return network.eval()


@torch.inference_mode()
def votes_of(network: DenseNetwork, image: Array, core_px: int, margin_px: int) -> tuple[Array, Array]:
    """Compute the foreground probability (h, w) and the offsets to the centre (2, h, w), float32, map pixels, of an image of any size.

    The map has half the height and width of the image (rounded up). Tiles with a margin on all sides are computed one by one and only
    their cores are used: memory is bounded by the maps, and tile borders leave no trace. The image is mirrored at its edges over EDGE_PX.

    Args:
        image: (Y, X) float32, 0..255, nuclei about 32 px across.
        core_px: side of a tile's core; margin_px: width of the margin around it. Both multiples of SIDES_PX.
    """
    height, width = image.shape
    high, wide = (-(-n // SIDES_PX) * SIDES_PX for n in image.shape)
    padded = cv2.copyMakeBorder(image, EDGE_PX, high - height + EDGE_PX, EDGE_PX, wide - width + EDGE_PX, cv2.BORDER_REFLECT_101)
    foreground = np.zeros((high // OUTPUT_STRIDE, wide // OUTPUT_STRIDE), np.float32)
    offsets = np.zeros((2, *foreground.shape), np.float32)
    device = next(network.parameters()).device
    for top in range(0, high, core_px):
        for left in range(0, wide, core_px):
            y0, x0 = max(0, top + EDGE_PX - margin_px), max(0, left + EDGE_PX - margin_px)
            tile = padded[y0 : top + EDGE_PX + core_px + margin_px, x0 : left + EDGE_PX + core_px + margin_px]
            output = network(torch.from_numpy(tile[None, None] / 255.0).to(device))[0].float()
            down, along = (top + EDGE_PX - y0) // OUTPUT_STRIDE, (left + EDGE_PX - x0) // OUTPUT_STRIDE
            rows, columns = min(core_px, high - top) // OUTPUT_STRIDE, min(core_px, wide - left) // OUTPUT_STRIDE
            core = output[:, down : down + rows, along : along + columns]
            y, x = top // OUTPUT_STRIDE, left // OUTPUT_STRIDE
            here = (slice(y, y + core.shape[1]), slice(x, x + core.shape[2]))
            foreground[here] = torch.sigmoid(core[FOREGROUND]).cpu().numpy()
            offsets[(slice(None), *here)] = (core[OFFSET_Y : OFFSET_Y + 2] * (OFFSET_UNIT_PX / OUTPUT_STRIDE)).cpu().numpy()
    keep = (slice(-(-height // OUTPUT_STRIDE)), slice(-(-width // OUTPUT_STRIDE)))
    return np.ascontiguousarray(foreground[keep]), np.ascontiguousarray(offsets[(slice(None), *keep)])
