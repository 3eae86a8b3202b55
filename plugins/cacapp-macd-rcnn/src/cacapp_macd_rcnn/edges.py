"""Edge-refinement head of CACNET: predicts the edge of a nucleus and uses it for the mask."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from cacapp.algorithms.maskrcnn.heads import KnownRoIHeads, Target
from cacapp.algorithms.maskrcnn.network import CLASSES

EDGE_WEIGHT = 0.5


class EdgePredictor(nn.Module):
    """Head: (N, C, 14, 14) -> mask logits (N, 2, 28, 28) from the features and the edge. ``edges``: logits of the edge (N, 28, 28)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv5_mask = nn.ConvTranspose2d(channels, hidden, 2, 2)
        self.edge = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(hidden, 1, 1))
        self.mask_fcn_logits = nn.Conv2d(hidden, CLASSES, 1)
        self.refine = nn.Conv2d(hidden + 1, CLASSES, 3, padding=1)
        nn.init.zeros_(self.refine.weight)
        nn.init.zeros_(self.refine.bias)  # type: ignore[arg-type]
        self.edges = torch.zeros(0, 28, 28)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv5_mask(x))
        edge = self.edge(x)
        self.edges = edge[:, 0]
        found: Tensor = self.mask_fcn_logits(x) + self.refine(torch.cat([x, torch.sigmoid(edge)], dim=1))
        return found


class EdgeRoIHeads(KnownRoIHeads):
    """RoI heads that add the cross entropy of the edge to the loss of the masks."""

    def _mask_loss(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        matched: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[Target],
    ) -> Tensor:
        loss = super()._mask_loss(features, proposals, matched, image_shapes, targets)
        if not sum(len(own) for own in proposals):
            return loss
        logits = self.mask_predictor.edges.float()
        rows = zip(targets, proposals, matched, strict=True)
        masks = torch.cat([project_masks_on_boxes(target["masks"], boxes, own, logits.shape[-1]) for target, boxes, own in rows])
        return loss + EDGE_WEIGHT * functional.binary_cross_entropy_with_logits(logits, edges_of(masks))


def edges_of(masks: Tensor) -> Tensor:
    """Convert masks (N, h, w) float in 0..1 to edges: 1 on the inner rim, 0 elsewhere."""
    inside = (masks > 0.5).float()
    shrunk = -functional.max_pool2d(-functional.pad(inside, (1, 1, 1, 1), value=1.0)[:, None], 3, 1)[:, 0]
    return inside - shrunk
