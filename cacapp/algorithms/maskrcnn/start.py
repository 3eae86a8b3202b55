"""Weights to start a training from: of the same network, or of another one with the same encoder."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from cacapp.errors import CacappError
from cacapp.weights.load import load_state

ENCODERS = ("image_encoder.", "encoder.")
"""What nuclei_t and dense call the encoder that the light backbone shares with them."""

OURS = "backbone."


def start_from(network: nn.Module, path: Path) -> int:
    """Takes from a file of weights (maskrcnn, nuclei_t or dense) what fits the network; returns how many tensors that are.

    Raises CacappError where nothing fits.
    """
    return take(network, load_state(path), str(path))


def take(network: nn.Module, state: dict[str, Tensor], what: str) -> int:
    """``start_from`` for weights in memory; ``what`` is what an error calls them."""
    wanted = network.state_dict()
    for theirs in ENCODERS:
        encoder = {OURS + key.removeprefix(theirs): value for key, value in state.items() if key.startswith(theirs)}
        state = {**encoder, **state}
    fitting = {key: value.to(wanted[key].dtype) for key, value in state.items() if key in wanted and wanted[key].shape == value.shape}
    if not fitting:
        raise CacappError(f"{what}: nothing in it fits this network; start from weights of maskrcnn, nuclei_t or dense, or from none")
    network.load_state_dict(fitting, strict=False)
    return len(fitting)
