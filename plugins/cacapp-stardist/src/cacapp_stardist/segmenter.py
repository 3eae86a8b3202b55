"""Segmenter ``stardist``: a star-convex polygon per pixel; of overlapping polygons the most probable is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cacapp.algorithms.dense.scale import Candidate, find_scale
from cacapp.algorithms.training.student import Student
from cacapp.api import Field, TrainingProgress, TrainingSamples
from cacapp.exceptions import UsageError
from cacapp.types import Array, Instance, Prompts

if TYPE_CHECKING:
    from cacapp_stardist.network import StarNetwork
    from cacapp_stardist.polygons import Stars


class StarDist(Student):
    """StarDist 2D (Schmidt et al. 2018): nuclei as polygons of 32 rays, suppressed by StarDist's own code.

    The frame is scaled once to the grey levels and nuclear size of the network; the size is measured on the frame. No weights
    are shipped: train them on pseudo-labels.
    """

    name: ClassVar[str] = "stardist"
    api_version: ClassVar[int] = 1

    weights: str = Field("", description="file or name of trained weights: cacapp train --model stardist")
    start: str = Field("none", description="training: initial weights (a file of an earlier training), or none")
    min_score: float = Field(0.5, ge=0.05, le=1, description="least probability of a polygon")
    nms: float = Field(0.4, gt=0, le=1, description="a polygon with this share in a more probable one is dropped")
    tile_px: int = Field(
        768, ge=64, le=8192, multiple_of=16, description="side of a tile's core at the network's scale, px: bounds the memory"
    )

    def weights_sha256(self) -> str | None:
        return self._chosen()[1]

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        from cacapp.algorithms.sam.models import device_of
        from cacapp_stardist.network import load_network

        return self._segment(dapi, load_network(*self._chosen(), device_of(self.device)))

    def train(self, samples: TrainingSamples, out: Path, seed: int, progress: TrainingProgress) -> Path:
        """Train the network, see ``TrainableSegmenter.train``. ``out`` gets log.jsonl with losses and validation AP@0.5, too."""
        from cacapp.algorithms.sam.models import device_of
        from cacapp_stardist.network import NUCLEUS_PX
        from cacapp_stardist.training import train

        scaled = self.model_copy(update={"diameter_px": NUCLEUS_PX})  # validation crops are at the network's scale
        return train(samples, out, seed, progress, self._recipe("stardist", self._beginning()), device_of(self.device), scaled._segment)

    def _chosen(self) -> tuple[Path, str]:
        from cacapp.weights.cache import choose

        if not self.weights:
            raise UsageError(
                "weights: stardist has none of its own here (the published ones are Keras files); train some with: "
                "cacapp train --model stardist, then --set weights=NAME"
            )
        return choose(self.weights)

    def _segment(self, dapi: Array, network: StarNetwork) -> list[Instance]:
        from cacapp.algorithms.sam.tiled import scaled_frame
        from cacapp_stardist.network import NUCLEUS_PX
        from cacapp_stardist.polygons import instances_of

        if dapi.min() == dapi.max():
            return []
        diameter_px = self.diameter_px or find_scale(dapi, lambda part, size: self._candidate(part, size, network))
        if not diameter_px:
            return []
        return instances_of(self._stars(dapi, diameter_px, network), scaled_frame(dapi, diameter_px, NUCLEUS_PX))

    def _stars(self, dapi: Array, diameter_px: float, network: StarNetwork) -> Stars:
        from cacapp.algorithms.sam.tiled import scaled_frame
        from cacapp_stardist.network import NUCLEUS_PX
        from cacapp_stardist.polygons import stars_of

        return stars_of(network, scaled_frame(dapi, diameter_px, NUCLEUS_PX).image, self.tile_px, self.min_score, self.nms)

    def _candidate(self, part: Array, diameter_px: float, network: StarNetwork) -> Candidate:
        from cacapp_stardist.network import NUCLEUS_PX

        found = self._stars(part, diameter_px, network)
        return Candidate(2 * found.distances_px.mean(axis=1) * diameter_px / NUCLEUS_PX, np.asarray(found.scores))
