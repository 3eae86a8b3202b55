"""Initial weights of a training, from the same network or another one with the same encoder."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from cacapp.exceptions import CacappError
from cacapp.weights.load import load_state

ENCODERS = {"nuclei_t": "image_encoder.", "dense": "encoder.", "maskrcnn": "backbone."}
"""Prefix of the common encoder in each of cacapp's networks."""


def start_from(network: nn.Module, path: Path, ours: str) -> int:
    """Load the matching tensors of a file of weights into the network; return their number.

    Args:
        ours: key of ENCODERS for the network itself.

    Raises CacappError if no tensor fits.
    """
    return take(network, load_state(path), str(path), ours)


def take(network: nn.Module, state: dict[str, Tensor], what: str, ours: str) -> int:
    """Load matching tensors from weights in memory, as ``start_from``; ``what`` names the weights in errors."""
    wanted, own = network.state_dict(), ENCODERS[ours]
    for theirs in ENCODERS.values():
        encoder = {own + key.removeprefix(theirs): value for key, value in state.items() if key.startswith(theirs)}
        state = {**encoder, **state}
    fitting = {key: value.to(wanted[key].dtype) for key, value in state.items() if key in wanted and wanted[key].shape == value.shape}
    if not fitting:
        names = ", ".join(ENCODERS)
        raise CacappError(f"{what}: nothing in it fits this network; start from weights of {names}, or from none")
    network.load_state_dict(fitting, strict=False)
    return len(fitting)
