"""Files of weights by name."""

from __future__ import annotations

from pathlib import Path

from cacapp.exceptions import CacappError, UsageError
from cacapp.weights import cache, registry
from cacapp.weights.digest import sha256_of

MODELS = {"nuclei": ("cellpose-nuclei", 17.0), "cyto3": ("cellpose-cyto3", 30.0)}
"""Published models of Cellpose: entry of cacapp's registry of weights, and nuclear diameter of the network, px."""


def choose(weights: str) -> tuple[Path, str]:
    """Return the file of weights and its SHA-256: a published model by its name, an entry of the registry, or a file.

    Raises:
        UsageError: it is none of these.
        CacappError: a published model is not on this machine (the error says how to get it), or its file is damaged.
    """
    path = Path(weights).expanduser()
    if path.is_file():
        return path, sha256_of(path)
    entry = MODELS[weights][0] if weights in MODELS else weights
    if entry not in registry.entries():
        known = ", ".join(MODELS)
        raise UsageError(f"weights {weights}: neither a model of Cellpose ({known}) nor a file; make one: cacapp train --model cellpose")
    if cache.where(registry.find(entry)) != "here":
        raise CacappError(
            f"weights {weights} of Cellpose are not here; {cache.how_to_get(registry.find(entry))}; who has run Cellpose finds them "
            "in ~/.cellpose/models and may name the file: --set weights=FILE"
        )
    return cache.locate(entry), cache.digest_of(entry)


def expects_px(weights: str) -> float:
    """Return the nuclear diameter, px, of a published model if its file does not contain it; 30 for any other."""
    return next((px for name, (entry, px) in MODELS.items() if weights in (name, entry)), 30.0)
