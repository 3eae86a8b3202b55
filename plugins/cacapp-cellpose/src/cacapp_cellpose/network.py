"""Cellpose's network with the weights of a file, loaded once per process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from cellpose.models import CellposeModel
from cellpose.resnet_torch import CPnet
from torch import Tensor

from cacapp.exceptions import CacappError
from cacapp.weights.load import check_state, load_state

if TYPE_CHECKING:
    from torch import nn

CHANNELS, CLASSES, WIDTHS = 2, 3, (32, 64, 128, 256)
"""Input: grey and an empty second channel; output: flow (y, x) and cell logit; widths of the stages."""

SIDES_PX = 8
"""Sides of the input are multiples of this."""


def build(nucleus_px: float) -> CPnet:
    """Build Cellpose's residual U-Net with random weights, for nuclei of this diameter."""
    return CPnet([CHANNELS, *WIDTHS], CLASSES, sz=3, diam_mean=nucleus_px)


@lru_cache(maxsize=2)
def load_model(path: Path, sha256: str, nucleus_px: float, device: str) -> CellposeModel:
    """Load Cellpose's model on a device; a file with another ``sha256`` is loaded anew.

    Args:
        nucleus_px: nuclear diameter of the weights if their file does not contain it.

    Raises CacappError for a damaged file or weights of another network.
    """
    state = read_state(path, nucleus_px)
    model = CellposeModel(pretrained_model=False, mkldnn=False, diam_mean=float(state["diam_mean"]), device=torch.device(device))
    check_state(state, model.net, str(path))
    model.net.load_state_dict(state)
    model.net.eval()
    return model


def read_state(path: Path, nucleus_px: float) -> dict[str, Tensor]:
    """Read the weights of a file and add the diameters that files before Cellpose 2 lack. Raises CacappError for a file of Cellpose 4."""
    state = {name: value.float() if value.is_floating_point() else value for name, value in load_state(path).items()}
    if "W2" in state:
        raise CacappError(f"{path}: weights of Cellpose 4 (Cellpose-SAM), whose licence is non-commercial; this plugin runs Cellpose 3")
    for name in ("diam_mean", "diam_labels"):
        state.setdefault(name, torch.tensor([nucleus_px]))
    return state


def start_from(network: nn.Module, path: Path, nucleus_px: float) -> None:
    """Load initial weights from a file. Raises CacappError if they do not fit."""
    state = read_state(path, nucleus_px)
    check_state(state, network, str(path))
    network.load_state_dict(state)
