"""Segmenter ``cellpose``: flows from each pixel to the centre of its cell; pixels that arrive at the same place are one cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cacapp.algorithms.training.student import Student
from cacapp.api import Field, TrainingProgress, TrainingSamples
from cacapp.arrays.regions import instances_of
from cacapp.exceptions import CacappError
from cacapp.types import Array, Instance, Prompts
from cacapp_cellpose.weights import choose, expects_px

if TYPE_CHECKING:
    from cellpose.models import CellposeModel

SMALLEST_PX = 64
"""Smaller images are padded with background: Cellpose cannot scale some of them."""


class Cellpose(Student):
    """Cellpose 3 (Stringer et al. 2021), unchanged: its network, its flows, its checks of masks. Instances do not overlap.

    The frame is scaled to the nuclear diameter of the network; the size is measured on the frame, since Cellpose's size models are files
    that may run code when they are opened.
    """

    name: ClassVar[str] = "cellpose"
    api_version: ClassVar[int] = 1

    weights: str = Field("nuclei", description="Cellpose's model nuclei or cyto3, or a file of Cellpose or of a training")
    flow_threshold: float = Field(0.4, ge=0, le=10, description="largest error of a mask's flow against the network's; 0: no check")
    cellprob_threshold: float = Field(0.0, ge=-6, le=6, description="least cell logit of a pixel of a cell")
    min_area_px: int = Field(15, ge=1, description="smallest nucleus, px of the frame")
    crop_px: int = Field(224, ge=64, le=2048, multiple_of=32, description="training: side of a crop at the network's scale, px")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="training: peak learning rate of AdamW")
    start: str = Field("nuclei", description="training: initial weights (nuclei, cyto3 or a file), or none: from scratch")
    nucleus_px: float = Field(17.0, ge=8, le=60, description="training from scratch: diameter of a nucleus at the network's scale, px")

    def weights_sha256(self) -> str | None:
        return choose(self.weights)[1]

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        from cacapp.algorithms.sam.models import device_of
        from cacapp.algorithms.sam.segmenter import typical_diameter_px
        from cacapp_cellpose.network import load_model

        model = load_model(*choose(self.weights), expects_px(self.weights), device_of(self.device))
        return self._segment(dapi, model, self.diameter_px or typical_diameter_px(dapi, prompts))

    def train(self, samples: TrainingSamples, out: Path, seed: int, progress: TrainingProgress) -> Path:
        """Train the network, see ``TrainableSegmenter.train``. ``out`` gets log.jsonl with losses and validation AP@0.5, too."""
        from cacapp.algorithms.sam.models import device_of
        from cacapp_cellpose.training import train

        start = (None, "") if self.start == "none" else self._beginning()
        recipe = self._recipe(f"cellpose-{self.nucleus_px:g}" if self.start == "none" else "cellpose", start)
        return train(samples, out, seed, progress, recipe, self._expects_px(), device_of(self.device), self._segment)

    def _beginning(self) -> tuple[Path | None, str]:
        try:
            return choose(self.start)
        except CacappError as error:
            raise type(error)(f"{error}; to train from scratch instead: --set start=none") from None

    def _expects_px(self) -> float:
        """Return the nuclear diameter in training: that of the initial weights."""
        if self.start == "none":
            return self.nucleus_px
        from cacapp_cellpose.network import read_state

        return float(read_state(choose(self.start)[0], expects_px(self.start))["diam_mean"])

    def _segment(self, dapi: Array, model: CellposeModel, diameter_px: float) -> list[Instance]:
        if dapi.min() == dapi.max():
            return []
        height, width = dapi.shape
        more = [(0, max(0, SMALLEST_PX - n)) for n in dapi.shape]
        image = np.pad(dapi.astype(np.float32), more, constant_values=float(np.percentile(dapi, 5)))
        masks, flows, _ = model.eval(
            image,
            channels=[0, 0],
            diameter=diameter_px,
            flow_threshold=self.flow_threshold,
            cellprob_threshold=self.cellprob_threshold,
            min_size=self.min_area_px,
            batch_size=self.batch,
        )
        probability = 1 / (1 + np.exp(-np.clip(flows[2], -30, 30)))
        return [replace(one, score=_mean(probability, one)) for one in instances_of(np.asarray(masks[:height, :width], np.int32))]


def _mean(probability: Array, one: Instance) -> float:
    x, y, w, h = one.bbox_xywh
    return float(np.clip(probability[y : y + h, x : x + w][one.mask].mean(), 0, 1))
