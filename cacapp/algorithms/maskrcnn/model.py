"""Network of segmenter ``maskrcnn``, loaded once per process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from cacapp.algorithms.maskrcnn.network import Backbone, build
from cacapp.exceptions import CacappError
from cacapp.weights.load import check_state, load_state

MARKS: dict[Backbone, str] = {"light": "backbone.stem.", "resnet50-fpn": "backbone.whole."}
"""Prefix of the names of a backbone's weights."""


@lru_cache(maxsize=2)
def load_network(path: Path, sha256: str, device: str) -> GeneralizedRCNN:
    """Load the network with the weights of a file, once per process; a file with another ``sha256`` is loaded anew.

    Raises CacappError for a damaged file or weights of another network.
    """
    state = load_state(path)
    network = build(backbone_of(state, str(path)))
    check_state(state, network, str(path))
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    network.to(device)
    network.to(memory_format=torch.channels_last)
    return network.eval()


def backbone_of(state: dict[str, Tensor], what: str) -> Backbone:
    """Return the backbone of weights, by their names. Raises CacappError if it is unknown; ``what`` names the weights in the error."""
    for backbone, mark in MARKS.items():
        if any(key.startswith(mark) for key in state):
            return backbone
    raise CacappError(f"{what}: no weights of maskrcnn; give a file that `cacapp train --model maskrcnn` wrote")
