"""Segment Anything on frames of any size: scaled once, encoded tile by tile, prompts decoded in batches on the tile that owns them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from cacapp.algorithms.sam.models import LoadedSam
from cacapp.arrays.background import sample
from cacapp.arrays.tiles import TileGrid
from cacapp.types import Array, Instance, Prompts

LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.8


@dataclass(frozen=True, slots=True)
class ScaledFrame:
    """Frame at the model's scale.

    Attributes:
        image: (Y, X) float32 in [0, 255], grey levels scaled once for the whole frame, nuclei at the model's size.
        zoom: model pixels per frame pixel.
        height_px, width_px: of the frame.
    """

    image: Array
    zoom: float
    height_px: int
    width_px: int


@dataclass(frozen=True, slots=True)
class SoftMask:
    """Mask of a prompt with its logits.

    Attributes:
        instance: the mask, in the frame.
        logits: (h, w) float16 of the mask's crop, > 0 inside.
    """

    instance: Instance
    logits: Array


def scaled_frame(dapi: Array, diameter_px: float, nucleus_px: float) -> ScaledFrame:
    """Scale a (Y, X) uint8 or uint16 plane to the model's grey levels and nuclear size.

    Args:
        diameter_px: of a typical nucleus in the frame.
        nucleus_px: nuclear diameter at the model's scale.
    """
    low, high = np.percentile(sample(dapi), (LOW_PERCENTILE, HIGH_PERCENTILE))
    zoom = nucleus_px / diameter_px
    size = (max(1, round(dapi.shape[1] * zoom)), max(1, round(dapi.shape[0] * zoom)))
    plane: Array = dapi.astype(np.float32)
    if zoom != 1:
        plane = cv2.resize(plane, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
    image = np.clip((plane - low) * (255.0 / max(float(high - low), 1.0)), 0, 255)
    return ScaledFrame(image.astype(np.float32), zoom, dapi.shape[0], dapi.shape[1])


def grid_of(frame: ScaledFrame, sam: LoadedSam, overlap_px: int, shift_yx: tuple[int, int] = (0, 0)) -> TileGrid:
    """Return the tiles of a scaled frame for a model's input size."""
    return TileGrid(frame.image.shape[0], frame.image.shape[1], sam.side_px, overlap_px, shift_yx)


@torch.no_grad()
def masks_of(
    sam: LoadedSam, frame: ScaledFrame, prompts: Prompts, grid: TileGrid, batch: int = 64
) -> Iterator[tuple[int, SoftMask | None]]:
    """Yield (index of the prompt, its mask or None if the model finds nothing), tile by tile.

    Each tile is encoded once; memory does not grow with the number of prompts.
    """
    points = (prompts.points_xy + 0.5) * frame.zoom - 0.5
    boxes = None if prompts.boxes_xyxy is None else (prompts.boxes_xyxy + 0.5) * frame.zoom - 0.5
    anchors = points[:, 0] if boxes is None or (prompts.point_labels[:, 0] == 1).all() else (boxes[:, :2] + boxes[:, 2:]) / 2
    owner = grid.owners(anchors)
    fill = float(np.percentile(sample(frame.image), 5))
    for tile in np.unique(owner).tolist():
        features = sam.encode(grid.cut(frame.image, tile, fill))
        corner = grid.origins_yx[tile][::-1].astype(np.float32)
        mine = np.flatnonzero(owner == tile)
        for start in range(0, len(mine), batch):
            some = mine[start : start + batch]
            local = np.clip(points[some] - corner, 0, sam.side_px - 1).astype(np.float32)
            box = None if boxes is None else np.clip(boxes[some] - np.tile(corner, 2), 0, sam.side_px - 1).astype(np.float32)
            found = sam.decode(features, local, prompts.point_labels[some], box)
            for n, index in enumerate(some.tolist()):
                origin = corner + found.origins_xy[n]
                yield index, soft_mask(found.logits[n], float(found.scores[n]), origin, sam.mask_stride, frame, anchors[index])


def soft_mask(logits: Array, score: float, origin_xy: Array, stride: float, frame: ScaledFrame, anchor_xy: Array) -> SoftMask | None:
    """Return the mask of one prompt in the frame: upsampled logits above 0, the part under (or nearest) the prompt."""
    rows, columns = np.nonzero(logits > -4)
    if not len(rows):
        return None
    # model pixels of the cells in use, then frame pixels
    low = (np.array([columns.min() - 1, rows.min() - 1]) * stride + origin_xy) / frame.zoom
    high = (np.array([columns.max() + 2, rows.max() + 2]) * stride + origin_xy) / frame.zoom
    x0, y0 = np.maximum(np.floor(low), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(high), (frame.width_px, frame.height_px)).astype(int)
    if x1 <= x0 or y1 <= y0:
        return None
    scale = frame.zoom / stride
    shift = ((np.array([x0, y0]) + 0.5) * frame.zoom - origin_xy) / stride - 0.5
    back = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
    size = (int(x1 - x0), int(y1 - y0))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    large = cv2.warpAffine(logits, back, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=-20.0)
    part = _part(large > 0, (anchor_xy + 0.5) / frame.zoom - 0.5 - [x0, y0])
    if part is None:
        return None
    mask, (left, top) = part
    box = (int(x0) + left, int(y0) + top, mask.shape[1], mask.shape[0])
    inside = large[top : top + mask.shape[0], left : left + mask.shape[1]].astype(np.float16)
    return SoftMask(Instance(box, mask, float(np.clip(score, 0, 1))), inside)


def _part(mask: Array, point_xy: Array) -> tuple[Array, tuple[int, int]] | None:
    """Return the connected part under the point, else the largest, with holes filled, cropped; and its (left, top)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count < 2:
        return None
    x, y = np.clip(np.rint(point_xy).astype(int), 0, np.array(mask.shape[::-1]) - 1)
    label = int(labels[y, x]) or 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    left, top, width, height = (int(v) for v in stats[label, :4])
    crop = (labels[top : top + height, left : left + width] == label).astype(np.uint8)
    outline, _ = cv2.findContours(crop, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(crop, outline, -1, 1, cv2.FILLED)
    return crop.astype(bool), (left, top)
