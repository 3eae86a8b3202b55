"""Write files atomically: a file is complete, or it is not there."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from cacapp.exceptions import CacappError

MAX_NAME = 120
"""Characters of a file name, so that suffixes and folders fit below the limits of file systems (255 bytes, paths of 260)."""
RESERVED = {"index", "con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
"""Names that mean something else: the index of the reports, and devices of Windows."""


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


def file_name(text: str) -> str:
    """Return a code, barcode or frame name as a file name that is valid on every system.

    Different texts give different names, also where one has characters that file names cannot have: then a digest of the text follows.
    Names that differ in case only are told apart by ``file_names``.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", text).strip("._")[:MAX_NAME]
    return name if name == text and name.split(".")[0].lower() not in RESERVED else f"{name or 'unnamed'}-{_digest(text)}"


def file_names(texts: Iterable[str], name_of: Callable[[str], str] = file_name) -> dict[str, str]:
    """Return a file name for each text, unique on file systems that ignore case: the first of two such texts keeps its own.

    Args:
        name_of: text -> file name, for each alone.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for text in texts:
        if text in names:
            continue
        name = name_of(text)
        if name.lower() in taken:
            name = f"{name}-{_digest(text)}"
        if name.lower() in taken:
            raise CacappError(f"{text}: another name gives the same file name, {name}; rename one of them")
        taken.add(name.lower())
        names[text] = name
    return names


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
