"""Prompter ``samaug``: additional positive points for another prompter's nuclei, inside a first mask of each."""

from __future__ import annotations

from typing import ClassVar, Literal

import cv2
import numpy as np

from cacapp.algorithms.prompting import CoarsePrompter, prompts_of
from cacapp.algorithms.region_growing import RegionGrowing
from cacapp.algorithms.split_merge import SplitMerge
from cacapp.algorithms.watershed import Watershed
from cacapp.api import Field
from cacapp.types import Array, Instance, Prompts, label_image

BASES: dict[str, type[CoarsePrompter]] = {"watershed": Watershed, "region-growing": RegionGrowing, "split-merge": SplitMerge}

GREY_LEVELS = 16
"""Bins of the entropy over the grey levels of a nucleus."""

APART = 0.5
"""Least distance between points of a nucleus, share of its inscribed radius, if there is room."""


class SamAug(CoarsePrompter):
    """Prompt augmentation for Segment Anything (SAMAug, Dai et al. 2023): P points of a prompter become P + ``points``.

    The paper's four rules, each inside the first mask of a nucleus: a random point; the point whose neighbourhood has the largest entropy
    of grey levels; the point furthest from the existing points; the most salient point. Saliency is frequency-tuned (Achanta et al. 2009):
    the difference of the smoothed brightness from the mean of the image.
    """

    name: ClassVar[str] = "samaug"
    api_version: ClassVar[int] = 1

    base: Literal["watershed", "region-growing", "split-merge"] = Field(
        "watershed", description="prompter whose regions and points are augmented, with its default parameters"
    )
    method: Literal["random", "max-entropy", "max-distance", "saliency"] = Field("max-distance", description="rule of the added points")
    points: int = Field(1, ge=1, le=16, description="positive points added to each nucleus")
    first_mask: Literal["region", "sam"] = Field(
        "region", description="mask in which points are added: the prompter's region, or segmenter sam's mask of its first point"
    )
    rim: float = Field(0.2, ge=0, lt=1, description="distance of added points to the mask's outline, share of the inscribed radius")
    window: float = Field(
        0.25, gt=0, le=1, description="neighbourhood of the entropy and smoothing of the saliency, share of the nuclear diameter"
    )
    seed: int = Field(0, ge=0, description="of method random")

    def weights_sha256(self) -> str | None:
        if self.first_mask == "region":
            return None
        from cacapp.algorithms.sam.segmenter import PromptedSam

        return PromptedSam().weights_sha256()

    def regions(self, dapi: Array) -> list[Instance]:
        return BASES[self.base]().regions(dapi)

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        first = prompts_of(self.regions(dapi), dapi, self.negative)
        if not len(first):
            return first
        masks = first.regions if self.first_mask == "region" else _sam_masks(dapi, first, pixel_size_um)
        rng = np.random.default_rng(self.seed)
        mean = float(dapi.mean())
        added = np.repeat(first.points_xy[:, :1], self.points, axis=1)
        labels = np.full((len(first), self.points), -1, np.int8)  # padding if a mask has too few pixels
        for n, mask in enumerate(masks):
            found = self._added(dapi, mask, first.points_xy[n, 0], mean, rng)
            added[n, : len(found)] = found
            labels[n, : len(found)] = 1
        return Prompts(
            np.concatenate([first.points_xy, added], axis=1).astype(np.float32),
            np.concatenate([first.point_labels, labels], axis=1),
            None,
            first.regions,
        )

    def _added(self, dapi: Array, mask: Instance, first_xy: Array, mean: float, rng: np.random.Generator) -> Array:
        """Return (K, 2) points (x, y) inside the mask, px of the frame; K is ``points`` or, if fewer, the number of mask pixels."""
        x, y, w, h = mask.bbox_xywh
        depth = cv2.distanceTransform(np.pad(mask.mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        radius = float(depth.max())
        rows, columns = np.nonzero(mask.mask & (depth >= self.rim * radius))
        places = np.stack([columns + x, rows + y], axis=1).astype(np.float32)
        size = max(3, round(self.window * 2 * radius) | 1)
        if self.method == "random":
            worth = rng.random(len(places))
        elif self.method == "max-entropy":
            worth = local_entropy(dapi[y : y + h, x : x + w], mask.mask, size)[rows, columns]
        elif self.method == "saliency":
            worth = _saliency(dapi, mask.bbox_xywh, mean, size)[rows, columns]
        else:
            worth = np.zeros(len(places))
        gap = np.linalg.norm(places - first_xy, axis=1)
        chosen: list[int] = []
        for _ in range(min(self.points, len(places))):
            if self.method == "max-distance":
                worth = gap.copy()
                worth[chosen] = -1
            elif chosen:
                worth[chosen[-1]] = -np.inf
            # among pixels apart from the existing points; if there are none, among all
            apart = gap > APART * radius
            pick = int(np.where(apart, worth, -np.inf).argmax() if np.isfinite(worth[apart]).any() else worth.argmax())
            chosen.append(pick)
            gap = np.minimum(gap, np.linalg.norm(places - places[pick], axis=1))
        return places[chosen]


def local_entropy(grey: Array, mask: Array, size_px: int) -> Array:
    """Compute the Shannon entropy, bit, of the mask's grey levels in a square window around each pixel: (h, w) float32.

    The grey levels of the mask are divided into GREY_LEVELS bins. Pixels outside the mask are ignored, since else the entropy would be
    largest at the outline of every nucleus. -1 if less than half of the window is on the mask.

    Args:
        grey: (h, w) of any numeric dtype. mask: (h, w) bool with at least one pixel.
        size_px: side of the window, odd.
    """
    values = grey[mask].astype(np.float32)
    low, high = float(values.min()), float(values.max())
    bins = np.clip((grey.astype(np.float32) - low) * (GREY_LEVELS / max(high - low, 1e-6)), 0, GREY_LEVELS - 1).astype(np.uint8)

    def share(image: Array) -> Array:
        return np.asarray(cv2.boxFilter(image.astype(np.float32), -1, (size_px, size_px), borderType=cv2.BORDER_CONSTANT))

    inside = share(mask)
    entropy = np.zeros(mask.shape, np.float32)
    for level in np.unique(bins[mask]).tolist():
        p = share(mask & (bins == level)) / np.maximum(inside, 1e-6)
        entropy -= p * np.log2(np.maximum(p, 1e-6))
    entropy[inside < min(0.5, float(inside.max()))] = -1
    return entropy


def _saliency(dapi: Array, bbox_xywh: tuple[int, int, int, int], mean: float, size_px: int) -> Array:
    """Return |smoothed brightness - mean of the image| in a box, (h, w) float32; the Gaussian includes pixels around the box."""
    x, y, w, h = bbox_xywh
    left, top = max(0, x - size_px), max(0, y - size_px)
    crop = dapi[top : y + h + size_px, left : x + w + size_px].astype(np.float32)
    smooth = cv2.GaussianBlur(crop, (0, 0), size_px / 4)
    return np.asarray(np.abs(smooth[y - top : y - top + h, x - left : x - left + w] - mean))


def _sam_masks(dapi: Array, first: Prompts, pixel_size_um: float | None) -> tuple[Instance, ...]:
    """Return for each prompt the mask of segmenter ``sam`` under its first point; the coarse region if there is none."""
    from cacapp.algorithms.sam.segmenter import PromptedSam

    found = PromptedSam().segment(dapi, first, pixel_size_um)
    painted = label_image(found, dapi.shape[0], dapi.shape[1])
    columns, rows = np.rint(first.points_xy[:, 0]).astype(int).T
    return tuple(found[k - 1] if k else region for k, region in zip(painted[rows, columns].tolist(), first.regions, strict=True))
