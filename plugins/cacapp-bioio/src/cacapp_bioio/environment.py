"""The environment that has bioio: its folder, the formats it reads, and how it is made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cacapp.exceptions import CacappError, UsageError

FOLDER_VARIABLE = "CACAPP_BIOIO"
"""Environment variable that names another folder for the environment."""
BIOIO = "bioio>=3,<4"
FORMATS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "czi": ("bioio-czi>=3", (".czi",)),
    "lif": ("bioio-lif>=2", (".lif",)),
    "nd2": ("bioio-nd2>=2", (".nd2",)),
    "dv": ("bioio-dv>=1", (".dv", ".r3d")),
    "sldy": ("bioio-sldy>=1", (".sldy",)),
    "bioformats": (
        "bioio-bioformats>=1",
        (".lsm", ".oib", ".oif", ".oir", ".vsi", ".zvi", ".ims", ".stk", ".sld", ".svs", ".ndpi", ".mrxs", ".scn", ".bif"),
    ),
}
"""By the name in ``setup``: bioio's package, and the suffixes that it reads. bioformats needs Java."""
_RECORD = "formats.json"


def folder() -> Path:
    """Return the folder of the environment; it may not exist."""
    from platformdirs import user_data_dir

    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser().absolute() if named else Path(user_data_dir("cacapp", appauthor=False)) / "bioio"


def python() -> Path:
    """Return the environment's interpreter; it may not exist."""
    return folder() / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def formats() -> tuple[str, ...]:
    """Return the formats that the environment was made for; none without one."""
    try:
        found = json.loads((folder() / _RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return ()
    return tuple(name for name in found if name in FORMATS) if isinstance(found, list) else ()


def suffixes() -> tuple[str, ...]:
    """Return the suffixes of the formats that the environment reads."""
    return tuple(suffix for name in formats() for suffix in FORMATS[name][1])


def setup(wanted: Sequence[str], interpreter: str = sys.executable) -> Path:
    """Make the environment, or add formats to it. Return its folder.

    Args:
        wanted: names of ``FORMATS``.
        interpreter: the Python to make it from.

    Raises:
        UsageError: an unknown format, or an interpreter that cannot be started.
        CacappError: it cannot be made, or packages cannot be installed; a new environment is removed again.
    """
    unknown = next((name for name in wanted if name not in FORMATS), None)
    if unknown is not None or not wanted:
        raise UsageError(f"setup {unknown or ''}: choose from {', '.join(FORMATS)}")
    place, new = folder(), not python().exists()
    together = tuple(dict.fromkeys((*formats(), *wanted)))
    try:
        if new:
            _run([interpreter, "-m", "venv", str(place)], f"{place}: cannot be made")
        packages = [BIOIO, "numpy", *(FORMATS[name][0] for name in together)]
        _run([str(python()), "-m", "pip", "install", "--quiet", *packages], f"{', '.join(wanted)}: cannot be installed in {place}")
        (place / _RECORD).write_text(json.dumps(together), "utf-8")
    except (CacappError, OSError) as error:
        if new:
            shutil.rmtree(place, ignore_errors=True)
        raise error if isinstance(error, CacappError) else CacappError(f"{place}: cannot be written ({error.strerror})") from error
    return place


def _run(command: Sequence[str], failed: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UsageError(f"python {command[0]} cannot be started ({error.strerror})") from error
    if ended.returncode:
        lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        why = next((line for line in lines if line.startswith("ERROR:")), lines[-1] if lines else "no reason given")
        raise CacappError(f"{failed} ({why[:300]})")
