"""Atomic writes of training files, with a clear error if the disk is full."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from cacapp.exceptions import CacappError

Buffer = bytes | memoryview


def write_whole(path: Path, content: Buffer | Callable[[IO[bytes]], Any]) -> None:
    """Write ``<path>.part`` and rename it; ``content``: bytes, or a function that writes them into an open file.

    Raises CacappError if the file cannot be written; an existing file stays unchanged.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch.save turns a full disk into a RuntimeError
        _remove(part)
        raise _no_room(path, error) from error


def _remove(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:
        return


def _no_room(path: Path, error: BaseException | None) -> CacappError:
    """Return the error to raise if a file of a training cannot be written."""
    reason = str(error)
    while error is not None:
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = "the disk is full" if full else str(error.strerror or error)
            break
        error = error.__cause__ or error.__context__
    way_out = "make room, or choose another folder; the last checkpoint is whole, and the same command goes on from it"
    return CacappError(f"{path} cannot be written: {reason}; {way_out}")
