"""Segmenter ``autosam``: a trained network that finds the nuclei and prompts a frozen Segment Anything for their masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cacapp.algorithms.training.student import Student
from cacapp.api import Field, TrainingProgress, TrainingSamples
from cacapp.exceptions import UsageError
from cacapp.types import Array, Instance, Prompts

if TYPE_CHECKING:
    from cacapp.algorithms.sam.models import LoadedSam
    from cacapp.algorithms.sam.tiled import ScaledFrame, SoftMask
    from cacapp_autosam.network import PromptNetwork

SAM = "nuclei_t"
OVERLAP_PX = 96
"""Overlap between neighbouring tiles: three nuclei."""


class AutoSam(Student):
    """AutoSAM (Shaharabany et al. 2023) for many nuclei in one image. The SAM (the embedded ``nuclei_t``) is frozen.

    A small network on the features of the SAM's encoder finds the centres of nuclei and gives the decoder learned tokens for each instead
    of a point. No prompt algorithm is run. No weights are shipped: train them on pseudo-labels.
    """

    name: ClassVar[str] = "autosam"
    api_version: ClassVar[int] = 1

    weights: str = Field("", description="file or name of trained weights: cacapp train --model autosam")
    start: str = Field("none", description="training: initial weights (a file of an earlier training), or none")
    middle: float = Field(0.35, gt=0, lt=1, description="least probability of the centre of a nucleus")
    min_score: float = Field(0.6, ge=0, le=1, description="a mask with a lower predicted IoU is discarded")
    same_iou: float = Field(0.5, gt=0, le=1, description="masks with this IoU are one nucleus; the higher score is used")
    inside_share: float = Field(0.7, gt=0, le=1, description="a mask with this share of its area in another is the same nucleus")
    crop_px: int = Field(256, ge=256, le=256, description="training: side of a crop, px: a tile of the SAM")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="training: peak learning rate of AdamW")

    def weights_sha256(self) -> str | None:
        return self._chosen()[1]

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        from cacapp.algorithms.sam.segmenter import typical_diameter_px
        from cacapp.weights.cache import digest_of
        from cacapp_autosam.network import load_network

        path, sha256 = self._chosen()
        sam = self._sam()
        network = load_network(path, sha256, digest_of(SAM), sam.device)
        if dapi.min() == dapi.max():
            return []
        return self._segment(dapi, sam, network, self.diameter_px or typical_diameter_px(dapi, prompts))

    def train(self, samples: TrainingSamples, out: Path, seed: int, progress: TrainingProgress) -> Path:
        """Train the network, see ``TrainableSegmenter.train``. ``out`` gets log.jsonl with losses and validation AP@0.5, too."""
        from cacapp.algorithms.sam.nuclei_t import NUCLEUS_PX
        from cacapp_autosam.training import train

        sam = self._sam()

        def segment(image: Array, network: PromptNetwork) -> list[Instance]:
            return self._segment(image, sam, network, NUCLEUS_PX)

        return train(samples, out, seed, progress, self._recipe("autosam", self._beginning()), sam, segment)

    def _chosen(self) -> tuple[Path, str]:
        from cacapp.weights.cache import choose

        if not self.weights:
            raise UsageError("weights: autosam has none of its own; train some with: cacapp train --model autosam, then --set weights=NAME")
        return choose(self.weights)

    def _sam(self) -> LoadedSam:
        from cacapp.algorithms.sam.models import device_of, load_sam
        from cacapp.weights.cache import locate

        return load_sam(SAM, locate(SAM), device_of(self.device))

    def _segment(self, dapi: Array, sam: LoadedSam, network: PromptNetwork, diameter_px: float) -> list[Instance]:
        from cacapp.algorithms.sam.nuclei_t import NUCLEUS_PX
        from cacapp.algorithms.sam.tiled import scaled_frame
        from cacapp.arrays.overlap import divide_overlaps, resolve

        found = list(self._masks(scaled_frame(dapi, diameter_px, NUCLEUS_PX), sam, network))
        kept = [found[i] for i in resolve([one.instance for one in found], self.same_iou, self.inside_share)]
        parted = divide_overlaps([one.instance for one in kept], [one.logits for one in kept])
        return [one for one in parted if one is not None]

    def _masks(self, frame: ScaledFrame, sam: LoadedSam, network: PromptNetwork) -> Iterator[SoftMask]:
        """Return the mask of each nucleus, from the tile with its centre in the core."""
        import torch

        from cacapp.algorithms.sam.tiled import grid_of, soft_mask
        from cacapp.arrays.background import sample
        from cacapp_autosam.middles import middles_of
        from cacapp_autosam.network import STRIDE, decode

        grid = grid_of(frame, sam, OVERLAP_PX)
        fill = float(np.percentile(sample(frame.image), 5))
        with torch.inference_mode():
            for tile, origin_yx in enumerate(grid.origins_yx):
                features = sam.encode(grid.cut(frame.image, tile, fill))
                middle, tokens = network(features)
                cells = middles_of(torch.sigmoid(middle[0].float()).cpu().numpy(), self.middle)
                centres_xy = (cells[:, ::-1] + 0.5) * STRIDE - 0.5 + origin_yx[::-1]
                mine = (grid.owners(centres_xy) == tile) & (centres_xy >= -0.5).all(axis=1)
                mine &= (centres_xy < np.array(frame.image.shape[::-1]) - 0.5).all(axis=1)
                for start in range(0, int(mine.sum()), 64):
                    some = cells[mine][start : start + 64]
                    where = torch.from_numpy(some).to(sam.device)
                    logits, iou, corners = decode(
                        sam.sam, features, tokens, torch.zeros(len(some), dtype=torch.long, device=sam.device), where
                    )
                    for n, anchor in enumerate(centres_xy[mine][start : start + 64]):
                        score = float(iou[n])
                        corner_xy = corners[n].flip(-1).cpu().numpy().astype(np.float32) + origin_yx[::-1]
                        plane = logits[n].float().cpu().numpy()
                        mask = soft_mask(plane, score, corner_xy, sam.mask_stride, frame, anchor) if score >= self.min_score else None
                        if mask is not None:
                            yield mask
