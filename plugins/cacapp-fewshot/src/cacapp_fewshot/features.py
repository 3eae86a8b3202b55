"""Map of Segment Anything features of a whole frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cacapp.algorithms.sam.models import LoadedSam
from cacapp.algorithms.sam.nuclei_t import EMBED
from cacapp.algorithms.sam.tiled import ScaledFrame, grid_of
from cacapp.arrays.background import sample


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """Features of a frame.

    Attributes:
        features: (C, h, w) float32, normalised to length 1 at every cell.
        stride_px: side of a cell, px of the scaled frame; cell (row, column) is centred on (column + 0.5, row + 0.5) x stride - 0.5.
    """

    features: Tensor
    stride_px: int


@torch.no_grad()
def feature_map(sam: LoadedSam, frame: ScaledFrame, overlap_px: int) -> FeatureMap:
    """Encode a scaled frame tile by tile and join the embeddings of the tiles' cores."""
    first = sam.encode(np.zeros((sam.side_px, sam.side_px), np.float32))
    cells = first.shape[-1]
    stride = sam.side_px // cells
    overlap = 2 * stride * max(1, round(overlap_px / 2 / stride))  # cores begin at a cell's border
    grid = grid_of(frame, sam, overlap)
    rows, columns = grid.counts_yx
    rim, core = overlap // 2 // stride, (sam.side_px - overlap) // stride
    fill = float(np.percentile(sample(frame.image), 5))
    whole = torch.zeros(EMBED if sam.windowed else first.shape[1], rows * core, columns * core)
    for tile in range(rows * columns):
        found = sam.encode(grid.cut(frame.image, tile, fill))[0, : len(whole), rim : rim + core, rim : rim + core]
        y, x = (core * n for n in divmod(tile, columns))
        whole[:, y : y + core, x : x + core] = found.float().cpu()
    height, width = (-(-n // stride) for n in frame.image.shape)
    return FeatureMap(functional.normalize(whole[:, :height, :width], dim=0), stride)
