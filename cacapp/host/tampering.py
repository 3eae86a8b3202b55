"""Whether code replaced what all share: functions of numpy in this process. What it replaced is put back."""

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
    """The public names of numpy and what they are."""
    return [{name: value for name, value in vars(module).items() if not name.startswith("_")} for module in SHARED]


def put_back(before: Snapshot) -> list[str]:
    """Names that are no longer what they were, which they are again after this; names that were added stay, they harm nobody."""
    changed = []
    for module, names in zip(SHARED, before, strict=True):
        now = vars(module)
        for name, value in names.items():
            if now.get(name, names) is not value:
                changed.append(f"{module.__name__}.{name}")
                setattr(module, name, value)
    return changed
