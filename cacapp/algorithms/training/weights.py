"""Files of trained weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from cacapp import __version__
from cacapp.algorithms.training.files import write_whole


def write_half(network: nn.Module, path: Path, about: Mapping[str, str]) -> None:
    """Write the weights as safetensors in half precision, with ``about`` and cacapp's version in the metadata."""
    from safetensors.torch import save

    state = {k: (v.half() if v.dtype.is_floating_point else v).cpu().contiguous() for k, v in network.state_dict().items()}
    limit = torch.finfo(torch.float16).max
    state = {k: v.clamp(-limit, limit) if v.dtype == torch.float16 else v for k, v in state.items()}
    write_whole(path, ordered(save(state, metadata={**about, "cacapp": __version__})))


def ordered(content: bytes) -> bytes:
    """Sort the header of a safetensors file, since the library writes the metadata in random order."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of eight bytes
    return len(header).to_bytes(8, "little") + header + content[8 + size :]
