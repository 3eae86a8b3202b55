"""Network: the light one of ``maskrcnn`` with attention, fixed-size proposals and optionally the edge head."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from cacapp.algorithms.maskrcnn.heads import KnownRoIHeads
from cacapp.algorithms.maskrcnn.network import light
from cacapp.weights.load import check_state, load_state
from cacapp_macd_rcnn.attention import AttentiveBackbone
from cacapp_macd_rcnn.edges import EdgePredictor, EdgeRoIHeads
from cacapp_macd_rcnn.fixed import SIDE, OwnAndFixedPool

_HIDDEN, _BOX = 32, 192

EDGE_MARK = "roi_heads.mask_predictor.edge."
"""Prefix of the names of the edge head's weights."""


def build(edges: bool) -> GeneralizedRCNN:
    """Build the network with random weights, for images and targets as those of ``maskrcnn``."""
    backbone = AttentiveBackbone()
    channels = backbone.out_channels
    parts: dict[str, nn.Module] = {"box_roi_pool": OwnAndFixedPool(), "box_head": TwoMLPHead(2 * channels * SIDE**2, _BOX)}
    if edges:
        parts["mask_predictor"] = EdgePredictor(channels, _HIDDEN)
    return light(backbone, parts, EdgeRoIHeads if edges else KnownRoIHeads)


@lru_cache(maxsize=2)
def load_network(path: Path, sha256: str, device: str) -> GeneralizedRCNN:
    """Load the network with the weights of a file, with the edge head if the file has one.

    A file with another ``sha256`` is loaded anew. Raises CacappError for a damaged file or weights of another network.
    """
    state = load_state(path)
    network = build(any(name.startswith(EDGE_MARK) for name in state))
    check_state(state, network, str(path))
    network.load_state_dict({name: value.float() if value.is_floating_point() else value for name, value in state.items()})
    network.to(device)
    network.to(memory_format=torch.channels_last)
    return network.eval()
