"""Segmenter ``dense``: a compact per-pixel network, trained on pseudo-labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np
from scipy import ndimage

from cacapp.algorithms.dense.scale import Candidate, find_scale
from cacapp.algorithms.dense.votes import Rules, objects_of
from cacapp.algorithms.training.student import Student
from cacapp.api import Field, TrainingProgress, TrainingSamples
from cacapp.types import Array, Instance, Prompts

if TYPE_CHECKING:
    from cacapp.algorithms.dense.network import DenseNetwork

MARGIN_PX = 64
"""Margin around a tile's core, at the scale of the network: two nuclei."""


class Dense(Student):
    """Per-pixel network: foreground and offset to the centre of the nucleus; pixels that point to the same centre are one nucleus.

    The frame is scaled once to the grey levels and nuclear size of the network; the size is measured on the frame. Instances do not
    overlap.
    """

    name: ClassVar[str] = "dense"
    api_version: ClassVar[int] = 1
    loads: ClassVar[tuple[str, ...]] = ("cacapp.algorithms.dense.model",)
    beginnings: ClassVar[tuple[str, ...]] = ("dense-nuclei", "nuclei_t")

    weights: str = Field("dense-nuclei", description="weights: an entry of `cacapp weights list`, or a file of a training")
    foreground: float = Field(0.7, gt=0, lt=1, description="least probability of a pixel of a nucleus")
    min_score: float = Field(0.9, ge=0, le=1, description="least mean probability inside an object")
    min_diameter: float = Field(0.36, ge=0, le=1, description="smallest object, share of the diameter the network expects")
    tile_px: int = Field(
        768, ge=64, le=8192, multiple_of=16, description="side of a tile's core at the network's scale, px: bounds the memory"
    )

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        from cacapp.algorithms.dense.model import load_network
        from cacapp.algorithms.sam.models import device_of
        from cacapp.weights.cache import choose

        network = load_network(*choose(self.weights), device_of(self.device))
        return self._segment(dapi, network)

    def train(self, samples: TrainingSamples, out: Path, seed: int, progress: TrainingProgress) -> Path:
        """Train the network, see ``TrainableSegmenter.train``. ``out`` gets log.jsonl with losses and validation AP@0.5, too."""
        from cacapp.algorithms.dense.network import NUCLEUS_PX
        from cacapp.algorithms.dense.training import train
        from cacapp.algorithms.sam.models import device_of

        scaled = self.model_copy(update={"diameter_px": NUCLEUS_PX})  # validation crops are at the network's scale
        return train(samples, out, seed, progress, self._recipe("dense", self._beginning()), device_of(self.device), scaled._segment)

    def _segment(self, dapi: Array, network: DenseNetwork) -> list[Instance]:
        diameter_px = self.diameter_px or find_scale(dapi, lambda part, size: self._candidate(part, size, network))
        if not diameter_px:
            return []
        labels, foreground, zoom, scores = self._objects(dapi, diameter_px, network)
        return instances_at(labels, foreground, self.foreground, zoom, scores, (dapi.shape[0], dapi.shape[1]))

    def _candidate(self, part: Array, diameter_px: float, network: DenseNetwork) -> Candidate:
        labels, _, zoom, scores = self._objects(part, diameter_px, network)
        areas = np.bincount(labels.ravel(), minlength=len(scores) + 1)[1:]
        return Candidate(np.sqrt(areas * 4 / np.pi) / zoom, scores)

    def _objects(self, dapi: Array, diameter_px: float, network: DenseNetwork) -> tuple[Array, Array, float, Array]:
        """Return labels and foreground on the map, map pixels per frame pixel, and the score of each object."""
        from cacapp.algorithms.dense.model import votes_of
        from cacapp.algorithms.dense.network import NUCLEUS_PX, OUTPUT_STRIDE
        from cacapp.algorithms.sam.tiled import scaled_frame

        frame = scaled_frame(dapi, diameter_px, NUCLEUS_PX)
        foreground, offsets = votes_of(network, frame.image, self.tile_px, margin_px=MARGIN_PX)
        labels = objects_of(foreground, offsets, Rules(foreground=self.foreground))
        areas = np.bincount(labels.ravel())
        scores = np.bincount(labels.ravel(), foreground.ravel()) / np.maximum(areas, 1)
        smallest = np.pi / 4 * (self.min_diameter * NUCLEUS_PX / OUTPUT_STRIDE) ** 2
        kept = (scores >= self.min_score) & (areas >= smallest)
        kept[0] = False
        number = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
        return number[labels], foreground, frame.zoom / OUTPUT_STRIDE, scores[kept]


def instances_at(labels: Array, foreground: Array, level: float, zoom: float, scores: Array, shape_yx: tuple[int, int]) -> list[Instance]:
    """Convert objects of a map to instances of the frame: outlines lie where the interpolated probability crosses ``level``.

    Args:
        labels: (h, w) int32, 1..N. foreground: (h, w) float32 in 0..1.
        zoom: pixels of the map per pixel of the frame.
        scores: (N,) of the objects.
        shape_yx: of the frame, px.
    """
    instances = []
    above = foreground - level
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        y0, x0 = (max(0, s.start - 2) for s in box)
        y1, x1 = box[0].stop + 2, box[1].stop + 2
        part, lift = labels[y0:y1, x0:x1], above[y0:y1, x0:x1]
        field = np.where(part == value, np.maximum(lift, 1e-3), np.where(part == 0, np.minimum(lift, -1e-3), -np.abs(lift)))
        left, top = int(x0 / zoom), int(y0 / zoom)
        right, bottom = min(shape_yx[1], int(np.ceil(x1 / zoom))), min(shape_yx[0], int(np.ceil(y1 / zoom)))
        if right <= left or bottom <= top:
            continue
        back = np.array([[zoom, 0, (left + 0.5) * zoom - 0.5 - x0], [0, zoom, (top + 0.5) * zoom - 0.5 - y0]])
        size, flags = (right - left, bottom - top), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        # the crop has two more pixels around the object, so the replicated border is background, except at the frame's edge
        mask = cv2.warpAffine(field.astype(np.float32), back, size, flags=flags, borderMode=cv2.BORDER_REPLICATE) > 0
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            continue
        crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        bbox = (left + int(columns[0]), top + int(rows[0]), crop.shape[1], crop.shape[0])
        instances.append(Instance(bbox, np.ascontiguousarray(crop), float(min(1.0, scores[value - 1]))))
    return instances
