"""Segmenters ``sam`` (prompted) and ``sam-auto`` (automatic mask generator)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from cacapp.algorithms.prompting import working_plane
from cacapp.api import Field, Segmenter
from cacapp.arrays.overlap import divide_overlaps, resolve
from cacapp.arrays.shapes import typical_diameter
from cacapp.types import Array, Instance, Prompts

if TYPE_CHECKING:
    from cacapp.algorithms.sam.models import LoadedSam
    from cacapp.algorithms.sam.tiled import SoftMask


class _SamBase(Segmenter):
    """Base of both segmenters: the model, its device, tiles, and the resolution of several masks of one nucleus."""

    loads: ClassVar[tuple[str, ...]] = ("cacapp.algorithms.sam.models",)
    model: Literal["nuclei_t", "vit_b", "vit_l", "vit_h", "medsam"] = Field(
        "nuclei_t", description="weights: the embedded nuclei_t, Meta's vit_b, vit_l, vit_h, or medsam (see: cacapp weights list)"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="device for the network; auto takes a GPU if there is one")
    overlap: float = Field(3.0, ge=1, le=8, description="overlap between neighbouring tiles, nuclear diameters")
    same_iou: float = Field(0.5, gt=0, le=1, description="masks with this IoU are one nucleus; the higher score is used")
    inside_share: float = Field(0.7, gt=0, le=1, description="a mask with this share of its area in another is the same nucleus")

    def weights_sha256(self) -> str | None:
        from cacapp.weights.cache import digest_of

        return digest_of(self.model)

    def _load(self) -> LoadedSam:
        from cacapp.algorithms.sam.models import device_of, load_sam
        from cacapp.weights.cache import locate

        return load_sam(self.model, locate(self.model), device_of(self.device))


class PromptedSam(_SamBase):
    """Segment Anything (Kirillov et al. 2023), one mask per prompt, on frames of any size.

    The frame is scaled once to the grey levels and nuclear size of the model; overlapping tiles are encoded once each; a prompt is decoded
    on the tile that owns it. If a coarse region is not covered, or a mask looks like several nuclei, a second round of prompts follows.
    Masks of one nucleus are merged, masks of several nuclei dropped, a pixel in two masks belongs to the one with the higher logit, and a
    prompt with a mask of low score keeps its coarse region.
    """

    name: ClassVar[str] = "sam"
    api_version: ClassVar[int] = 1

    use: Literal["points", "boxes", "both"] = Field("points", description="prompts for the model; medsam takes boxes only")
    min_score: float = Field(0.6, ge=0, le=1, description="a mask with a lower predicted IoU is discarded")
    keep_region: bool = Field(True, description="a prompt without a usable mask keeps the prompter's coarse region")
    second_look: bool = Field(True, description="second round of prompts for uncovered regions and masks that look like several nuclei")
    batch: int = Field(64, ge=1, le=4096, description="prompts decoded at once: bounds the memory")

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        if not len(prompts):
            return []
        from cacapp.algorithms.sam.models import NUCLEUS_PX
        from cacapp.algorithms.sam.second_look import second_prompts
        from cacapp.algorithms.sam.tiled import grid_of, masks_of, scaled_frame

        sam = self._load()
        diameter_px = typical_diameter_px(dapi, prompts)
        frame = scaled_frame(dapi, diameter_px, NUCLEUS_PX[self.model])
        grid = grid_of(frame, sam, round(self.overlap * NUCLEUS_PX[self.model]))
        masks: list[SoftMask | None] = [None] * len(prompts)
        for index, mask in masks_of(sam, frame, self._chosen(prompts), grid, self.batch):
            if mask is not None and mask.instance.score >= self.min_score:
                masks[index] = mask
        more: list[SoftMask] = []
        if self.second_look and prompts.regions and self.use == "points" and self.model != "medsam":
            again = second_prompts(
                prompts, [None if m is None else m.instance for m in masks], diameter_px, (frame.height_px, frame.width_px)
            )
            answers = masks_of(sam, frame, again, grid, self.batch) if len(again) else ()
            more = [mask for _, mask in answers if mask is not None and mask.instance.score >= self.min_score]
        if self.keep_region and prompts.regions:
            masks = [m or _unsure(r) for m, r in zip(masks, prompts.regions, strict=True)]
        found = [m for m in masks if m is not None] + more
        kept = [found[i] for i in resolve([m.instance for m in found], self.same_iou, self.inside_share)]
        parted = divide_overlaps([m.instance for m in kept], [m.logits for m in kept])
        return [one for one in parted if one is not None]

    def _chosen(self, prompts: Prompts) -> Prompts:
        if self.use == "points" and self.model != "medsam":
            return Prompts(prompts.points_xy, prompts.point_labels)
        boxes = prompts.boxes_xyxy if prompts.boxes_xyxy is not None else boxes_of(prompts)
        if self.use == "both" and self.model != "medsam":
            return Prompts(prompts.points_xy, prompts.point_labels, boxes)
        if self.model == "nuclei_t":  # it was never trained on a box without a point: the box's centre is the point
            return Prompts(((boxes[:, None, :2] + boxes[:, None, 2:]) / 2).astype(np.float32), np.ones((len(boxes), 1), np.int8), boxes)
        return Prompts(prompts.points_xy, np.full_like(prompts.point_labels, -1), boxes)


class AutomaticSam(_SamBase):
    """Automatic mask generator of segment-anything: a grid of points on every tile, no prompts needed.

    A mask belongs to the tile with its centre in the core; masks larger than ``max_area`` of a tile (background, sheets) are dropped.
    """

    name: ClassVar[str] = "sam-auto"
    api_version: ClassVar[int] = 1
    needs_prompts: ClassVar[bool] = False

    points_per_side: int = Field(16, ge=2, le=128, description="points along each side of a tile")
    min_score: float = Field(0.7, ge=0, le=1, description="a mask with a lower predicted IoU is discarded")
    min_stability: float = Field(0.8, ge=0, le=1, description="a mask with a lower stability score is discarded")
    max_area: float = Field(0.25, gt=0, le=1, description="largest mask, share of a tile")

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        from cacapp.algorithms.sam.automatic import automatic_masks
        from cacapp.algorithms.sam.models import NUCLEUS_PX
        from cacapp.algorithms.sam.tiled import grid_of, scaled_frame

        sam = self._load()
        frame = scaled_frame(dapi, typical_diameter_px(dapi, prompts), NUCLEUS_PX[self.model])
        grid = grid_of(frame, sam, round(self.overlap * NUCLEUS_PX[self.model]))
        found = automatic_masks(sam, frame, grid, self.points_per_side, self.min_score, self.min_stability, self.max_area)
        return [found[i] for i in resolve(found, self.same_iou, self.inside_share)]


def typical_diameter_px(dapi: Array, prompts: Prompts) -> float:
    """Return the diameter of a typical nucleus, px: that of the coarse regions, else measured on the image."""
    if prompts.regions:
        return typical_diameter(np.array([np.count_nonzero(region.mask) for region in prompts.regions]))
    plane = working_plane(dapi, 36.0)
    return plane.diameter_px * plane.zoom or 32.0


def _unsure(region: Instance) -> SoftMask:
    """Return a coarse region as a mask with lower priority than any mask of the model."""
    from cacapp.algorithms.sam.tiled import SoftMask

    return SoftMask(Instance(region.bbox_xywh, region.mask, 0.0), np.full(region.mask.shape, -1.0, np.float16))


def boxes_of(prompts: Prompts) -> Array:
    """Return (N, 4) float32 boxes around the coarse regions, px."""
    if not prompts.regions:
        from cacapp.exceptions import CacappError

        raise CacappError("segmenter 'sam': boxes are asked for, and the prompter gave neither boxes nor regions")
    boxes = np.array([r.bbox_xywh for r in prompts.regions], np.float32)
    boxes[:, 2:] += boxes[:, :2] - 1
    return boxes
