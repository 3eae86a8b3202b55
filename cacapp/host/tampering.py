"""Detect whether a plugin replaced functions of numpy, which all code of the process shares, and restore them."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import numpy.linalg
import numpy.random

SHARED: tuple[ModuleType, ...] = (np, np.linalg, np.random)

Snapshot = list[Mapping[str, Any]]


def snapshot() -> Snapshot:
    """Return the public names of numpy with their values."""
    return [{name: value for name, value in vars(module).items() if not name.startswith("_")} for module in SHARED]


def restore_patched(before: Snapshot) -> list[str]:
    """Restore names whose value changed since ``before``, and return them. Added names stay: no other code uses them."""
    changed = []
    for module, names in zip(SHARED, before, strict=True):
        now = vars(module)
        for name, value in names.items():
            if now.get(name, names) is not value:
                changed.append(f"{module.__name__}.{name}")
                setattr(module, name, value)
    return changed
