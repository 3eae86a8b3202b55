"""Region proposals and heads of torchvision that ignore UNKNOWN labels in training.

A target may have ``unknown``, (H, W) bool. An anchor or proposal without a matching label is excluded from the loss, instead of being
background, if more than UNKNOWN_SHARE of it is unknown; unknown mask pixels are excluded too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss, maskrcnn_inference, project_masks_on_boxes
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import roi_align

UNKNOWN_SHARE = 0.25
IGNORED = -1
MASKS_AT_ONCE = 256
"""Masks are computed in batches, so that memory does not grow with the number of nuclei."""

Target = dict[str, Tensor]


def unknown_share(unknown: Tensor, boxes_xyxy: Tensor) -> Tensor:
    """Return (N,) float: the share of each box (N, 4) px, clipped to the image, that is ``unknown`` (H, W)."""
    height, width = unknown.shape
    table = functional.pad(unknown.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    x0, x1 = (boxes_xyxy[:, i].round().clamp(0, width).long() for i in (0, 2))
    y0, y1 = (boxes_xyxy[:, i].round().clamp(0, height).long() for i in (1, 3))
    inside = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
    return (inside / ((y1 - y0) * (x1 - x0)).clamp(min=1)).float()


class KnownRegionProposals(RegionProposalNetwork):  # type: ignore[misc]
    """Region proposal network on the maps named in ``levels``."""

    levels: tuple[str, ...] = ()

    def forward(self, images: Any, features: dict[str, Tensor], targets: list[Target] | None = None) -> Any:
        return super().forward(images, {name: features[name] for name in self.levels}, targets)

    def assign_targets_to_anchors(self, anchors: list[Tensor], targets: list[Target]) -> tuple[list[Tensor], list[Tensor]]:
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for own, boxes, target in zip(labels, anchors, targets, strict=True):
            if "unknown" in target:
                own[(own == 0) & (unknown_share(target["unknown"], boxes) > UNKNOWN_SHARE)] = IGNORED
        return labels, matched


class KnownRoIHeads(RoIHeads):  # type: ignore[misc]
    """Heads that predict class, box and mask of each proposal."""

    def forward(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]], targets: list[Target] | None = None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        if self.training:
            assert targets is not None, "a network in training needs targets"
            return [], self._losses(features, proposals, image_shapes, targets)
        logits, deltas = self.box_predictor(self.box_head(self.box_roi_pool(features, proposals, image_shapes)))
        boxes, scores, labels = self.postprocess_detections(logits.float(), deltas.float(), proposals, image_shapes)
        result = [{"boxes": b, "scores": s, "labels": c} for b, s, c in zip(boxes, scores, labels, strict=True)]
        for i, one in enumerate(result):
            own = {name: maps[i : i + 1] for name, maps in features.items()}
            one["masks"] = self._masks(own, one["boxes"], one["labels"], image_shapes[i])
        return result, {}

    def _masks(self, features: dict[str, Tensor], boxes: Tensor, labels: Tensor, shape_yx: tuple[int, int]) -> Tensor:
        """Return (N, 28, 28) float32 probabilities of the boxes (N, 4) of one image."""
        found = []
        for start in range(0, len(boxes), MASKS_AT_ONCE):
            some = slice(start, start + MASKS_AT_ONCE)
            logits = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, [boxes[some]], [shape_yx])))
            found.append(maskrcnn_inference(logits.float(), [labels[some]])[0][:, 0])
        return torch.cat(found) if found else boxes.new_zeros((0, 28, 28))

    def _losses(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]], targets: list[Target]
    ) -> dict[str, Tensor]:
        self._unknown = [target.get("unknown") for target in targets]
        proposals, matched, labels, regression = self.select_training_samples(list(proposals), targets)
        logits, deltas = self.box_predictor(self.box_head(self.box_roi_pool(features, proposals, image_shapes)))
        classifier, box = fastrcnn_loss(logits.float(), deltas.float(), labels, regression)
        positive = [torch.where(own > 0)[0] for own in labels]
        proposals = [own[p] for own, p in zip(proposals, positive, strict=True)]
        matched = [own[p] for own, p in zip(matched, positive, strict=True)]
        mask = self._mask_loss(features, proposals, matched, image_shapes, targets)
        return {"loss_classifier": classifier, "loss_box_reg": box, "loss_mask": mask}

    def _mask_loss(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        matched: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[Target],
    ) -> Tensor:
        """Return the binary cross entropy over the known pixels of the positive proposals."""
        if not sum(len(own) for own in proposals):
            return torch.stack([maps.sum() for maps in features.values()]).sum() * 0.0
        logits = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, proposals, image_shapes)))[:, 1].float()
        side = logits.shape[-1]
        rows = list(zip(targets, proposals, matched, strict=True))
        wanted = torch.cat([project_masks_on_boxes(target["masks"], boxes, own, side) for target, boxes, own in rows])
        known = torch.cat([_known(target, boxes, side) for target, boxes, _ in rows])
        loss = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return (loss * known).sum() / known.sum().clamp(min=1)

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], gt_boxes: list[Tensor], gt_labels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        matched, labels = super().assign_targets_to_proposals(proposals, gt_boxes, gt_labels)
        for own, boxes, unknown in zip(labels, proposals, self._unknown, strict=True):
            if unknown is not None:
                own[(own == 0) & (unknown_share(unknown, boxes) > UNKNOWN_SHARE)] = IGNORED
        return matched, labels


def _known(target: Target, boxes: Tensor, side: int) -> Tensor:
    """Return (N, side, side) float: 1 for the known pixels of each box."""
    if "unknown" not in target:
        return boxes.new_ones((len(boxes), side, side))
    image = (~target["unknown"]).to(boxes)[None, None]
    share: Tensor = roi_align(image, [boxes], (side, side), 1.0)[:, 0]
    return (share > 0.5).to(boxes)
