"""The software that a run works with, as its record keeps it: it tells runs of different machines and versions apart."""

from __future__ import annotations

import platform
import re
from functools import cache
from importlib import metadata
from typing import Any

from cacapp.runs.counting_code import code_digest

COUNTING_CODE = "counting_code"
_REQUIREMENT = re.compile(r"^[A-Za-z0-9._-]+")


@cache
def _packages() -> dict[str, str]:
    try:
        required = metadata.requires("cacapp") or []
    except metadata.PackageNotFoundError:  # a source tree that is not installed
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


def environment(step: str) -> dict[str, Any]:
    """Return the software that a run of ``step`` works with.

    ``python``, ``platform`` (system and processor), ``packages`` (the version of each package that cacapp itself depends on), and for
    ``count`` the ``counting_code``: the first 16 digits of ``code_digest``.
    """
    found = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": dict(_packages()),
    }
    return found | {COUNTING_CODE: code_digest()[:16]} if step == "count" else found
