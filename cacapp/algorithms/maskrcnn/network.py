"""Networks of segmenter ``maskrcnn``: torchvision's Mask R-CNN (He et al. 2017) with a heavy and a light backbone, for nuclei.

The input is one grey channel in 0..1 with nuclei about 32 px across; images are neither rescaled nor normalised. Unlike in torchvision,
UNKNOWN labels are ignored in training (see ``heads``), and masks are 28 x 28 probabilities in their boxes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from cacapp.algorithms.maskrcnn.heads import KnownRegionProposals, KnownRoIHeads
from cacapp.algorithms.sam.nuclei_t import ConvEncoder

Backbone = Literal["light", "resnet50-fpn"]

NUCLEUS_PX = 32.0
SIDES_PX = 32  # sides of the input are multiples of this
CLASSES = 2  # background, nucleus
ASPECT_RATIOS = (0.6, 1.0, 1.67)
LEVEL_PX = 48  # boxes up to this side are pooled from the finest map, up to twice that from the next

_LIGHT, _LIGHT_BOX = 64, 192
LIGHT_POOLED = ("0", "1", "2")
"""Maps from which the light network cuts boxes."""


class PassThrough(GeneralizedRCNNTransform):  # type: ignore[misc]
    """Transform that only batches images: no rescaling, no normalisation; boxes and masks of the heads are unchanged."""

    def __init__(self) -> None:
        super().__init__(min_size=0, max_size=0, image_mean=[0.0], image_std=[1.0], size_divisible=SIDES_PX)

    def normalize(self, image: Tensor) -> Tensor:
        return image

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target

    def postprocess(self, result: Any, image_shapes: Any, original_image_sizes: Any) -> Any:
        return result


class LightBackbone(nn.Module):
    """Convolutional encoder of ``nuclei_t`` and a feature pyramid: (B, 1, H, W) -> maps "0" "1" "2" of stride 4, 8, 16, 64 channels."""

    out_channels = _LIGHT

    def __init__(self) -> None:
        super().__init__()
        whole = ConvEncoder()
        self.stem, self.stride4, self.stride8, self.stride16 = whole.stem, whole.stride4, whole.stride8, whole.stride16
        stages = (self.stride4, self.stride8, self.stride16)
        widths = [[m for m in stage.modules() if isinstance(m, nn.Conv2d)][-1].out_channels for stage in stages]
        self.fpn = FeaturePyramidNetwork(widths, _LIGHT, norm_layer=nn.BatchNorm2d)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.stem(torch.cat([image * 2 - 0.5, torch.log1p(image * 60) / 2.0 - 1.0], dim=1))  # as ConvEncoder takes it
        maps = OrderedDict()
        for name, stage in (("0", self.stride4), ("1", self.stride8), ("2", self.stride16)):
            x = maps[name] = stage(x)
        result: dict[str, Tensor] = self.fpn(maps)
        return result


class HeavyBackbone(nn.Module):
    """ResNet-50 with a feature pyramid, as in the paper: (B, 1, H, W) -> maps "0" "1" "2" "3" of stride 4 to 32, 256 channels."""

    out_channels = 256

    def __init__(self) -> None:
        super().__init__()
        layers = {f"layer{n + 1}": str(n) for n in range(4)}
        widths = [256, 512, 1024, 2048]
        self.whole = BackboneWithFPN(resnet50(weights=None), layers, widths, self.out_channels, norm_layer=nn.BatchNorm2d)
        del self.whole.fpn.extra_blocks
        self.whole.fpn.extra_blocks = None

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        result: dict[str, Tensor] = self.whole((image.expand(-1, 3, -1, -1) - 0.2) * 4)
        return result


def build(backbone: Backbone) -> GeneralizedRCNN:
    """Build the network with random weights. Its input is a list of (1, H, W) float images in 0..1, in training also ``targets``."""
    return light() if backbone == "light" else _heavy()


def light(
    backbone: LightBackbone | None = None, parts: dict[str, nn.Module] | None = None, roi_heads: type[KnownRoIHeads] = KnownRoIHeads
) -> GeneralizedRCNN:
    """Build the light network, or a variant of it.

    Args:
        backbone: replaces its backbone.
        parts: replacements for parts of the heads, by torchvision's names (box_roi_pool, box_head, mask_predictor ...).
        roi_heads: the class of the heads.
    """
    sizes = ((14, 24, 36), (52, 72, 100))
    heads = {
        "box_head": TwoMLPHead(_LIGHT * 7 * 7, _LIGHT_BOX),
        "box_predictor": FastRCNNPredictor(_LIGHT_BOX, CLASSES),
        "mask_head": MaskRCNNHeads(_LIGHT, (_LIGHT,) * 3, 1, norm_layer=nn.BatchNorm2d),
        "mask_predictor": MaskRCNNPredictor(_LIGHT, _LIGHT // 2, CLASSES),
    }
    heads |= parts or {}
    return _assemble(backbone or LightBackbone(), sizes, levels=("1", "2"), pooled=LIGHT_POOLED, heads=heads, roi_heads=roi_heads)


def _heavy() -> GeneralizedRCNN:
    sizes = ((12, 20), (28, 40), (56, 72), (90, 120))
    heads = {
        "box_head": FastRCNNConvFCHead((256, 7, 7), [256, 256], [1024], norm_layer=nn.BatchNorm2d),
        "box_predictor": FastRCNNPredictor(1024, CLASSES),
        "mask_head": MaskRCNNHeads(256, (256,) * 4, 1, norm_layer=nn.BatchNorm2d),
        "mask_predictor": MaskRCNNPredictor(256, 256, CLASSES),
    }
    return _assemble(HeavyBackbone(), sizes, levels=("0", "1", "2", "3"), pooled=("0", "1", "2"), heads=heads)


def _assemble(
    backbone: LightBackbone | HeavyBackbone,
    sizes: tuple[tuple[int, ...], ...],
    levels: tuple[str, ...],
    pooled: tuple[str, ...],
    heads: dict[str, nn.Module],
    roi_heads: type[KnownRoIHeads] = KnownRoIHeads,
) -> GeneralizedRCNN:
    """Assemble the parts with settings for many small objects.

    Args:
        sizes: sides of the square anchors, px, for each of the ``levels`` that propose boxes.
        pooled: maps from which boxes are cut.
    """
    anchors = AnchorGenerator(sizes, (ASPECT_RATIOS,) * len(sizes))
    proposals = KnownRegionProposals(
        anchors,
        RPNHead(backbone.out_channels, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=0.55,
        bg_iou_thresh=0.3,
        batch_size_per_image=128,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 800, "testing": 4000},
        post_nms_top_n={"training": 300, "testing": 2000},
        nms_thresh=0.7,
        score_thresh=0.02,
    )
    proposals.levels = levels
    pools = {"box_roi_pool": pool(pooled, 7), "mask_roi_pool": pool(pooled, 14)}
    joined = roi_heads(
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=96,
        positive_fraction=0.4,
        bbox_reg_weights=None,
        score_thresh=0.05,
        nms_thresh=0.6,
        detections_per_img=1000,
        **(pools | heads),
    )
    return GeneralizedRCNN(backbone, proposals, joined, PassThrough())


def pool(maps: tuple[str, ...], side: int) -> MultiScaleRoIAlign:
    """Return a RoIAlign on the named maps with ``side`` x ``side`` cells; smaller boxes are cut from finer maps."""
    return MultiScaleRoIAlign(maps, side, sampling_ratio=2, canonical_scale=LEVEL_PX, canonical_level=3)
