"""Detection of nuclei tile by tile, and conversion of their masks to instances."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from cacapp.algorithms.maskrcnn.network import SIDES_PX
from cacapp.algorithms.sam.tiled import ScaledFrame
from cacapp.arrays.background import sample
from cacapp.arrays.overlap import resolve
from cacapp.arrays.tiles import TileGrid
from cacapp.types import Array, Instance

MARGIN_PX = 64
"""Margin around a tile's core: two nuclei on each side."""

SLACK_PX = 8
"""A nucleus with its centre this near to a core is taken from both tiles, and a duplicate is removed later, so that none is lost."""

SMALLEST_PX = 256
"""Smaller images are padded with background to the side of training crops, since else every pixel is near an edge."""

OUTSIDE = -4.0
"""Logit outside a mask's box."""


@dataclass(frozen=True, slots=True)
class Detections:
    """Detected nuclei of an image, N of them.

    Attributes:
        boxes_xyxy: (N, 4) float32, px of the image.
        scores: (N,) float32 in 0..1.
        masks: (N, 28, 28) float32, probabilities in the boxes.
    """

    boxes_xyxy: Array
    scores: Array
    masks: Array

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def diameters_px(self) -> Array:
        """Return (N,) diameters of the circles with the area of each mask, px."""
        sides = self.boxes_xyxy[:, 2:] - self.boxes_xyxy[:, :2]
        area = (self.masks > 0.5).mean(axis=(1, 2)) * sides.prod(axis=1)
        return np.asarray(np.sqrt(area * 4 / np.pi))

    def take(self, index: Array) -> Detections:
        return Detections(self.boxes_xyxy[index], self.scores[index], self.masks[index])


@torch.inference_mode()
def detect(network: GeneralizedRCNN, image: Array, core_px: int, min_score: float = 0.05, shift_yx: tuple[int, int] = (0, 0)) -> Detections:
    """Detect nuclei in an image of any size; those near the border of two tiles may be found twice.

    Args:
        image: (Y, X) float32, 0..255, nuclei about 32 px across.
        core_px: side of a tile's core, a multiple of 32; memory grows with its square. MARGIN_PX are computed around it.
        min_score: least score of a nucleus.
        shift_yx: start of the grid of tiles, multiples of 32 px.
    """
    height, width = image.shape
    grid = TileGrid(height, width, core_px + 2 * MARGIN_PX, 2 * MARGIN_PX, shift_yx)
    fill = float(np.percentile(sample(image), 5))
    device = next(network.parameters()).device
    network.roi_heads.score_thresh = min_score  # no mask is computed for a lower score
    found: list[Detections] = []
    for origin in grid.origins_yx:
        y0, x0 = np.maximum(origin, 0)
        y1, x1 = np.minimum(origin + grid.side_px, (height, width))
        tile = image[y0:y1, x0:x1]
        more_y, more_x = (max(SMALLEST_PX, -(-n // SIDES_PX) * SIDES_PX) - n for n in tile.shape)
        above, left = more_y // 2 // SIDES_PX * SIDES_PX, more_x // 2 // SIDES_PX * SIDES_PX
        whole = cv2.copyMakeBorder(tile, above, more_y - above, left, more_x - left, cv2.BORDER_CONSTANT, value=fill)
        seen = network([torch.from_numpy(whole[None] / np.float32(255)).to(device)])[0]
        boxes, scores, masks = (seen[name].float().cpu().numpy() for name in ("boxes", "scores", "masks"))
        boxes = boxes + np.tile(np.array([x0 - left, y0 - above], np.float32), 2)
        centre_yx = (boxes[:, [1, 0]] + boxes[:, [3, 2]]) / 2
        core = origin + MARGIN_PX
        mine = ((centre_yx >= core - SLACK_PX) & (centre_yx < core + core_px + SLACK_PX)).all(axis=1)
        mine &= ((centre_yx >= 0) & (centre_yx < (height, width))).all(axis=1)
        whole_px = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= 1
        found.append(Detections(boxes, scores, masks).take(mine & whole_px))
    return Detections(
        np.concatenate([one.boxes_xyxy for one in found]),
        np.concatenate([one.scores for one in found]),
        np.concatenate([one.masks for one in found]),
    )


def instances_of(found: Detections, frame: ScaledFrame) -> list[Instance]:
    """Convert nuclei to instances of the frame, without duplicates."""
    instances = [one for i in range(len(found)) if (one := _instance(found, i, frame)) is not None]
    return [instances[i] for i in resolve(instances)]


def _instance(found: Detections, index: int, frame: ScaledFrame) -> Instance | None:
    """Return a mask in the frame: logits interpolated between cells, thresholded at 0; the largest part, with holes filled.

    A cell (row, column) of the mask stands for the pixel at box corner + (cell + 0.5) x side / 28, as RoIAlign samples it in training.
    """
    x0, y0, x1, y1 = found.boxes_xyxy[index].astype(float)
    rows, columns = found.masks.shape[1:]
    step_x, step_y = (x1 - x0) / columns, (y1 - y0) / rows
    left, top = (max(0, int(np.floor(v / frame.zoom)) - 1) for v in (x0 - step_x, y0 - step_y))
    right = min(frame.width_px, int(np.ceil((x1 + step_x) / frame.zoom)) + 1)
    bottom = min(frame.height_px, int(np.ceil((y1 + step_y) / frame.zoom)) + 1)
    if right <= left or bottom <= top:
        return None
    p = np.clip(found.masks[index], 1e-4, 1 - 1e-4)
    back = np.array(
        [
            [frame.zoom / step_x, 0, ((left + 0.5) * frame.zoom - 0.5 - x0) / step_x - 0.5],
            [0, frame.zoom / step_y, ((top + 0.5) * frame.zoom - 0.5 - y0) / step_y - 0.5],
        ]
    )
    size, flags = (right - left, bottom - top), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    logits = cv2.warpAffine(np.log(p / (1 - p)), back, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=OUTSIDE)
    count, parts, stats, _ = cv2.connectedComponentsWithStats((logits > 0).astype(np.uint8), connectivity=4)
    if count < 2:
        return None
    part = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    px, py, w, h = (int(v) for v in stats[part, :4])
    mask = (parts[py : py + h, px : px + w] == part).astype(np.uint8)
    outline, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, outline, -1, 1, cv2.FILLED)
    return Instance((left + px, top + py, w, h), mask.astype(bool), float(np.clip(found.scores[index], 0, 1)))
