"""Segmenter ``maskrcnn``: box and mask of each nucleus, trained on pseudo-labels."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from cacapp.algorithms.dense.scale import Candidate, find_scale
from cacapp.algorithms.training.student import Student
from cacapp.api import Field, TrainingProgress, TrainingSamples
from cacapp.types import Array, Instance, Prompts

if TYPE_CHECKING:
    from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN


LOOK_PX = 1024
"""Side of the part of a frame on which the nuclear size is measured: one tile."""


class MaskRcnn(Student):
    """Mask R-CNN of torchvision, the student network of the method paper: boxes are proposed and scored, and each gets a mask.

    The frame is scaled once to the grey levels and nuclear size of the network; the size is measured on the frame. Tiles overlap, and each
    nucleus belongs to one of them. Training ignores proposals and mask pixels with unknown labels.
    """

    name: ClassVar[str] = "maskrcnn"
    api_version: ClassVar[int] = 1
    loads: ClassVar[tuple[str, ...]] = ("cacapp.algorithms.maskrcnn.model",)
    beginnings: ClassVar[tuple[str, ...]] = ("maskrcnn-nuclei", "nuclei_t")

    weights: str = Field("maskrcnn-nuclei", description="weights: an entry of `cacapp weights list`, or a file of a training")
    min_score: float = Field(0.7, ge=0.05, le=1, description="least probability of a detected nucleus")
    tile_px: int = Field(640, ge=128, le=4096, multiple_of=32, description="side of a tile's core at the network's scale, px")
    backbone: Literal["light", "resnet50-fpn"] = Field(
        "light", description="training: light (3 M parameters, for CPUs) or resnet50-fpn (44 M, the paper's, for GPUs)"
    )

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        from cacapp.algorithms.maskrcnn.model import load_network
        from cacapp.algorithms.sam.models import device_of
        from cacapp.weights.cache import choose

        return self._segment(dapi, load_network(*choose(self.weights), device_of(self.device)))

    def train(self, samples: TrainingSamples, out: Path, seed: int, progress: TrainingProgress) -> Path:
        """Train the network, see ``TrainableSegmenter.train``. ``out`` gets log.jsonl with losses and validation AP@0.5, too."""
        from cacapp.algorithms.maskrcnn.network import build
        from cacapp.algorithms.maskrcnn.training import train
        from cacapp.algorithms.sam.models import device_of

        nothing = self.start == "auto" and self.backbone != "light"  # the shipped weights have the light one
        recipe = self._recipe(self.backbone, (None, "") if nothing else self._beginning())
        return train(samples, out, seed, progress, recipe, partial(build, self.backbone), device_of(self.device))

    def _segment(self, dapi: Array, network: GeneralizedRCNN) -> list[Instance]:
        from cacapp.algorithms.maskrcnn.detect import detect, instances_of
        from cacapp.algorithms.maskrcnn.network import NUCLEUS_PX
        from cacapp.algorithms.sam.tiled import scaled_frame

        diameter_px = self.diameter_px or find_scale(dapi, lambda part, size: self._candidate(part, size, network))
        if not diameter_px:
            return []
        frame = scaled_frame(dapi, diameter_px, NUCLEUS_PX)
        return instances_of(detect(network, frame.image, self.tile_px, self.min_score), frame)

    def _candidate(self, part: Array, diameter_px: float, network: GeneralizedRCNN) -> Candidate:
        from cacapp.algorithms.maskrcnn.detect import detect
        from cacapp.algorithms.maskrcnn.network import NUCLEUS_PX
        from cacapp.algorithms.sam.tiled import scaled_frame

        frame = scaled_frame(part, diameter_px, NUCLEUS_PX)
        found = detect(network, frame.image, max(self.tile_px, LOOK_PX), self.min_score)
        kept = found.diameters_px > 1
        return Candidate(found.diameters_px[kept] / frame.zoom, found.scores[kept])
