"""Segmenter ``macd-rcnn``: Mask R-CNN with attention, windows of fixed size and an optional edge head."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from cacapp.algorithms.maskrcnn.segmenter import MaskRcnn
from cacapp.api import Field, TrainingProgress, TrainingSamples
from cacapp.exceptions import UsageError
from cacapp.types import Array, Instance, Prompts


class MacdRcnn(MaskRcnn):
    """MACD R-CNN (Ma et al. 2020), Mask R-CNN for abnormal nuclei, on the light network of ``maskrcnn``.

    The maps of the feature pyramid have attention, and each proposal is scored also with a window of fixed size around its centre, which
    shows the size of the nucleus. With ``edges`` the masks use CACNET's edge-refinement head. No weights are shipped: a training starts
    from those of ``maskrcnn``.
    """

    name: ClassVar[str] = "macd-rcnn"
    api_version: ClassVar[int] = 1

    weights: str = Field("", description="file or name of trained weights: cacapp train --model macd-rcnn")
    backbone: Literal["light"] = Field("light", description="training: the light backbone of maskrcnn")
    edges: bool = Field(False, description="training: with the edge-refinement head of CACNET")

    def weights_sha256(self) -> str | None:
        return self._chosen()[1]

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        from cacapp.algorithms.sam.models import device_of
        from cacapp_macd_rcnn.network import load_network

        return self._segment(dapi, load_network(*self._chosen(), device_of(self.device)))

    def train(self, samples: TrainingSamples, out: Path, seed: int, progress: TrainingProgress) -> Path:
        """Train the network, see ``TrainableSegmenter.train``. ``out`` gets log.jsonl with losses and validation AP@0.5, too."""
        from cacapp.algorithms.maskrcnn.training import train
        from cacapp.algorithms.sam.models import device_of
        from cacapp_macd_rcnn.network import build

        recipe = self._recipe("macd-rcnn with edges" if self.edges else "macd-rcnn", self._beginning())
        return train(samples, out, seed, progress, recipe, partial(build, self.edges), device_of(self.device), "macd-rcnn")

    def _chosen(self) -> tuple[Path, str]:
        from cacapp.weights.cache import choose

        if not self.weights:
            raise UsageError("weights: macd-rcnn has none of its own; train some: cacapp train --model macd-rcnn, then --set weights=NAME")
        return choose(self.weights)
