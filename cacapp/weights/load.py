"""Loading of weights from untrusted files: returns tensors or refuses in one line; no code in the file is run."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cacapp.exceptions import CacappError

if TYPE_CHECKING:
    from torch import Tensor, nn

NAMED = 3
"""Keys that an error lists; it counts the rest."""

CHECKPOINT_SUFFIXES = "a .safetensors file or a state_dict saved by torch.save"


def load_state(path: Path) -> dict[str, Tensor]:
    """Read names and tensors (on the CPU) of a safetensors file or a torch checkpoint; the content decides which, not the file's name.

    Torch checkpoints are read with ``weights_only=True``; compressed ones, which torch never writes, are refused unread. Raises
    CacappError for a file that is missing, truncated, wants to run code, or holds anything but a flat mapping of names to tensors.
    """
    try:
        with path.open("rb") as source:
            head = source.read(9)
    except OSError as error:
        raise CacappError(f"{path}: cannot be read ({error.strerror or error})") from None
    if head[8:9] == b"{":
        return _load_safetensors(path)
    if head[:4] == b"PK\x03\x04":
        _check_archive(path)
    elif head[:1] != b"\x80":  # the first byte of every binary pickle, which torch wrote before it wrote archives
        raise CacappError(f"{path}: no weights; give {CHECKPOINT_SUFFIXES}")
    return _load_checkpoint(path)


def load_into(module: nn.Module, path: Path) -> None:
    """Load the weights of a file into a network. Raises CacappError where they do not fit it, or the file holds none."""
    state = load_state(path)
    check_state(state, module, str(path))
    module.load_state_dict(state)


def check_state(state: dict[str, Tensor], module: nn.Module, what: str = "the weights") -> None:
    """Raise CacappError where ``state`` does not fit ``module`` key by key and shape by shape, or holds numbers that are not finite.

    ``what``: name or file of the weights, for the error.
    """
    wanted = module.state_dict()
    shapes = [f"{k} {_shape(state[k])} instead of {_shape(wanted[k])}" for k in wanted if k in state and state[k].shape != wanted[k].shape]
    found = {
        "missing": [key for key in wanted if key not in state],
        "unexpected": [key for key in state if key not in wanted],
        "wrong shape": shapes,
    }
    complaints = [f"{kind}: {_named(keys)}" for kind, keys in found.items() if keys]
    if complaints:
        raise CacappError(f"{what} do not fit {type(module).__name__}; {'; '.join(complaints)}")
    broken = [key for key, tensor in state.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())]
    if broken:
        raise CacappError(f"{what} are broken, numbers that are not finite in: {_named(broken)}")


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        raise _damaged(path, error) from None


def _load_checkpoint(path: Path) -> dict[str, Tensor]:
    import pickle
    import warnings

    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # torch warns of files that it then refuses
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted:
            raise CacappError(f"{path}: refused, it is no plain weights file but asks for {wanted[1]}, which could run code") from None
        raise _damaged(path, error) from None
    except MemoryError:
        raise CacappError(f"{path}: refused, it claims more memory than there is") from None
    except Exception as error:  # torch raises exceptions of many types on damaged files
        raise _damaged(path, error) from None
    return _check_flat(path, state)


def _check_flat(path: Path, state: Any) -> dict[str, Tensor]:
    """Return the tensors of a flat mapping, detached; raise CacappError for anything else."""
    from torch import Tensor

    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        keys = f" (it holds {_named(map(str, state))})" if isinstance(state, dict) and state else f" (it holds a {type(state).__name__})"
        raise CacappError(f"{path}: no flat mapping of names to tensors{keys}; give {CHECKPOINT_SUFFIXES}")
    for key, tensor in state.items():
        if tensor.is_sparse or tensor.is_quantized or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise CacappError(f"{path}: refused, {key} {_shape(tensor)} claims more numbers than the file holds")
    return {key: tensor.detach() for key, tensor in state.items()}


def _check_archive(path: Path) -> None:
    """Refuse archives that torch does not write: compressed, overlapping or incomplete ones."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise _damaged(path, error) from None
    compressed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if compressed or sum(member.file_size for member in members) > path.stat().st_size:
        raise CacappError(f"{path}: refused, a compressed archive is no weights file; give {CHECKPOINT_SUFFIXES}")


def _damaged(path: Path, error: Exception) -> CacappError:
    reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    return CacappError(f"{path}: damaged or no weights file ({reason[:120]}); get it anew")


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(str(size) for size in tensor.shape)})"


def _named(keys: Iterable[str]) -> str:
    keys = list(keys)
    more = len(keys) - NAMED
    return ", ".join(keys[:NAMED]) + (f" and {more} more" if more > 0 else "")
