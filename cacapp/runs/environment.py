"""The software a run works with: what its record needs so that another machine can be told apart from it."""

from __future__ import annotations

import platform
import re
from functools import cache
from importlib import metadata
from typing import Any

_REQUIREMENT = re.compile(r"^[A-Za-z0-9._-]+")


@cache
def _packages() -> dict[str, str]:
    try:
        required = metadata.requires("cacapp") or []
    except metadata.PackageNotFoundError:  # a source tree that nobody installed
        return {}
    found = {}
    for line in required:
        name = _REQUIREMENT.match(line)
        if name is None or "extra ==" in line:
            continue
        try:
            found[name[0].lower()] = metadata.version(name[0])
        except metadata.PackageNotFoundError:
            continue
    return dict(sorted(found.items()))


def environment() -> dict[str, Any]:
    """``python``, ``platform`` (system and processor) and ``packages``: the version of each package cacapp itself depends on."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": dict(_packages()),
    }
