"""Nuclei from the network's maps: candidates, StarDist's non-maximum suppression, polygons as masks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from cacapp.algorithms.sam.tiled import ScaledFrame
from cacapp.arrays.background import sample
from cacapp.arrays.tiles import TileGrid
from cacapp.types import Array, Instance
from cacapp_stardist.compiled import corners_of, suppress
from cacapp_stardist.network import GRID, StarNetwork

MARGIN_PX = 64
"""Margin around a tile's core: more than two nuclei."""

FINE = 4
"""Enlargement of polygons for drawing, since OpenCV includes the outline of a polygon."""


@dataclass(frozen=True, slots=True)
class Stars:
    """N nuclei: probabilities (N,), centres (N, 2) (y, x) px and distances (N, 32) px to the outline, all at the network's scale."""

    scores: Array
    middles_yx: Array
    distances_px: Array


@torch.inference_mode()
def stars_of(network: StarNetwork, image: Array, tile_px: int, min_score: float, overlap: float) -> Stars:
    """Find the nuclei of an image of any size.

    Args:
        image: (Y, X) float32, 0..255, nuclei about 24 px across.
        tile_px: side of a tile's core, a multiple of 16.
        min_score: least score of a candidate.
        overlap: share of the smaller polygon in the larger one at which the one with the lower score is dropped.
    """
    grid = TileGrid(image.shape[0], image.shape[1], tile_px + 2 * MARGIN_PX, 2 * MARGIN_PX)
    fill = float(np.percentile(sample(image), 5))
    device = next(network.parameters()).device
    rim, core = MARGIN_PX // GRID, tile_px // GRID
    scores, middles, distances = [], [], []
    for tile, origin in enumerate(grid.origins_yx):
        cut = torch.from_numpy(grid.cut(image, tile, fill) / np.float32(255))[None, None].to(device)
        logits, rays = (maps[0, ..., rim : rim + core, rim : rim + core].float().cpu() for maps in network(cut))
        probability = torch.sigmoid(logits).numpy()
        y, x = np.nonzero(probability >= min_score)
        places = np.stack([y, x], axis=1) * GRID + origin + MARGIN_PX
        inside = ((places >= 0) & (places < image.shape)).all(axis=1)
        scores.append(probability[y, x][inside])
        middles.append(places[inside])
        distances.append(np.maximum(rays.numpy()[:, y, x].T[inside], 1e-3))
    found = Stars(np.concatenate(scores), np.concatenate(middles), np.concatenate(distances))
    if not len(found.scores):
        return found
    kept = suppress(found.distances_px, found.middles_yx, found.scores, overlap)
    return Stars(found.scores[kept], found.middles_yx[kept], found.distances_px[kept])


def instances_of(stars: Stars, frame: ScaledFrame) -> list[Instance]:
    """Convert polygons to masks of the frame, clipped to it."""
    if not len(stars.scores):
        return []
    corners = (corners_of(stars.distances_px, stars.middles_yx) + 0.5) / frame.zoom - 0.5
    found = []
    for polygon, score in zip(corners, stars.scores.tolist(), strict=True):
        left, top = (max(0, int(np.floor(v))) for v in polygon.min(axis=0))
        right, bottom = (min(n, int(np.ceil(v)) + 1) for v, n in zip(polygon.max(axis=0), (frame.width_px, frame.height_px), strict=True))
        if right <= left or bottom <= top:
            continue
        fine = np.zeros((FINE * (bottom - top), FINE * (right - left)), np.uint8)
        cv2.fillPoly(fine, [np.rint((polygon - [left, top] + 0.5) * FINE - 0.5).astype(np.int32)], 1)
        drawn = fine[FINE // 2 :: FINE, FINE // 2 :: FINE]
        rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
        if len(rows):
            mask = np.ascontiguousarray(drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] > 0)
            found.append(Instance((left + int(columns[0]), top + int(rows[0]), mask.shape[1], mask.shape[0]), mask, min(1.0, score)))
    return found
