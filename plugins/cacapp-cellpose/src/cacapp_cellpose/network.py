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
"""Grey and an empty second channel in; flow (y, x) and probability of a cell out; widths of the stages."""

SIDES_PX = 8
"""Sides of the input are multiples of this."""


def build(nucleus_px: float) -> CPnet:
    """Cellpose's residual U-Net with random weights, for nuclei of that diameter."""
    return CPnet([CHANNELS, *WIDTHS], CLASSES, sz=3, diam_mean=nucleus_px)


@lru_cache(maxsize=2)
def load_model(path: Path, sha256: str, nucleus_px: float, device: str) -> CellposeModel:
    """Cellpose's model on a device; ``sha256`` keeps a changed file from being taken for the old one.

    Args:
        nucleus_px: diameter that the weights expect, where their file does not say.

    Raises CacappError for a file that is damaged or of another network.
    """
    state = read_state(path, nucleus_px)
    model = CellposeModel(pretrained_model=False, mkldnn=False, diam_mean=float(state["diam_mean"]), device=torch.device(device))
    check_state(state, model.net, str(path))
    model.net.load_state_dict(state)
    model.net.eval()
    return model


def read_state(path: Path, nucleus_px: float) -> dict[str, Tensor]:
    """The weights of a file, complete: files from before Cellpose 2 lack the diameters. Raises CacappError where it is of Cellpose 4."""
    state = {name: value.float() if value.is_floating_point() else value for name, value in load_state(path).items()}
    if "W2" in state:
        raise CacappError(f"{path}: weights of Cellpose 4 (Cellpose-SAM), whose licence is non-commercial; this plugin runs Cellpose 3")
    for name in ("diam_mean", "diam_labels"):
        state.setdefault(name, torch.tensor([nucleus_px]))
    return state


def start_from(network: nn.Module, path: Path, nucleus_px: float) -> None:
    """Takes the weights of a file to train on. Raises CacappError where they do not fit."""
    state = read_state(path, nucleus_px)
    check_state(state, network, str(path))
    network.load_state_dict(state)
