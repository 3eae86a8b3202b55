"""Write files atomically: a file is complete, or it is not there."""

from __future__ import annotations

import os
import re
import tempfile
from functools import lru_cache
from pathlib import Path

from cacapp.exceptions import CacappError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file beside the target and rename it; make the folder. Raises CacappError naming the path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CacappError(f"{path} cannot be written: {error.strerror or error}; choose another place with --out") from error


@lru_cache(maxsize=1)
def _umask() -> int:
    """Return the process' umask, read once: it can only be read by changing it, which is not safe in several threads at once."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def make_folder(path: Path) -> None:
    """Make a folder and its parents if missing. Raises CacappError naming it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacappError(f"folder {path} cannot be made: {error.strerror or error}; choose another place with --out") from error


def file_name(code: str) -> str:
    """Return a patient code as a file name that is valid on every system."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", code).strip("._") or "patient"
