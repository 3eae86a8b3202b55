"""Automatic mask generator of segment-anything on the tiles of a frame."""

from __future__ import annotations

import cv2
import numpy as np
from segment_anything import SamAutomaticMaskGenerator

from cacapp.algorithms.sam.models import LoadedSam
from cacapp.algorithms.sam.tiled import ScaledFrame
from cacapp.arrays.background import sample
from cacapp.arrays.tiles import TileGrid
from cacapp.types import Array, Instance


def automatic_masks(
    sam: LoadedSam, frame: ScaledFrame, grid: TileGrid, points_per_side: int, min_score: float, min_stability: float, max_area: float
) -> list[Instance]:
    """Generate the masks of a frame; each comes from the tile with the mask's centre in its core.

    Args:
        points_per_side: points along each side of the grid on a tile.
        min_score, min_stability: see SamAutomaticMaskGenerator.
        max_area: largest mask, share of a tile.
    """
    generator = SamAutomaticMaskGenerator(
        sam.sam, points_per_side=points_per_side, pred_iou_thresh=min_score, stability_score_thresh=min_stability
    )
    fill = float(np.percentile(sample(frame.image), 5))
    found = []
    for tile, origin_yx in enumerate(grid.origins_yx):
        plane = grid.cut(frame.image, tile, fill).astype(np.uint8)
        for record in generator.generate(cv2.merge([plane, plane, plane])):
            mask = record["segmentation"]
            if record["area"] > max_area * mask.size:
                continue
            centre = np.array([[np.nonzero(mask)[1].mean(), np.nonzero(mask)[0].mean()]]) + origin_yx[::-1]
            if int(grid.owners(centre)[0]) == tile and (instance := _in_frame(mask, origin_yx, float(record["predicted_iou"]), frame)):
                found.append(instance)
    return found


def _in_frame(mask: Array, origin_yx: Array, score: float, frame: ScaledFrame) -> Instance | None:
    """Return a tile's mask at the frame's resolution, clipped to the frame; None if it lies outside."""
    rows, columns = np.nonzero(mask)
    top, left = rows.min(), columns.min()
    crop = mask[top : rows.max() + 1, left : columns.max() + 1].astype(np.float32)
    y0, x0 = (round(float(v / frame.zoom)) for v in (top + origin_yx[0], left + origin_yx[1]))
    size = (max(1, round(crop.shape[1] / frame.zoom)), max(1, round(crop.shape[0] / frame.zoom)))
    large = cv2.resize(crop, size, interpolation=cv2.INTER_LINEAR) > 0.5
    large = large[max(0, -y0) : frame.height_px - y0, max(0, -x0) : frame.width_px - x0]
    if not large.any():
        return None
    return Instance((max(0, x0), max(0, y0), large.shape[1], large.shape[0]), large, float(np.clip(score, 0, 1)))
