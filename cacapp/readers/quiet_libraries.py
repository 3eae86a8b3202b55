"""Suppression of console output of image libraries and storage drivers; cacapp reports an error of a file itself, once."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LIBRARIES = ("tifffile", "aicsimageio", "ome_types", "ome_zarr", "zarr", "xmlschema", "numcodecs")
_STORES = ("fsspec", "s3fs", "botocore", "aiobotocore", "gcsfs", "adlfs", "azure", "paramiko", "aiohttp")
_QUIET = (*_LIBRARIES, *_STORES)
_NEVER = logging.CRITICAL + 1
_ONE_AT_A_TIME = threading.Lock()


class _LogLevels:
    """Log levels and warning filters before the first thread entered ``quiet_libraries``, and the number of threads inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._levels: dict[logging.Logger, int] = {}
        self._warnings = warnings.catch_warnings()

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1
            for log in _loggers():
                if log.level != _NEVER:  # not yet set by another thread
                    self._levels[log] = log.level
                    log.setLevel(_NEVER)

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._warnings.__exit__(None, None, None)
                for log, level in self._levels.items():
                    if log.level == _NEVER:
                        log.setLevel(level)
                self._levels.clear()


def _loggers() -> list[logging.Logger]:
    """Return the loggers of the libraries and of their submodules, which may have levels of their own."""
    below = tuple(f"{name}." for name in _QUIET)
    others = [log for name, log in list(logging.root.manager.loggerDict.items()) if name.startswith(below)]
    return [logging.getLogger(name) for name in _QUIET] + [log for log in others if isinstance(log, logging.Logger)]


_log_levels = _LogLevels()


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Suppress logs and warnings of image libraries and storage drivers in the body.

    Levels and filters belong to the process, and threads read channels in parallel: the last thread that leaves restores them.
    """
    _log_levels.enter()
    try:
        yield
    finally:
        _log_levels.leave()


@contextmanager
def capture_stderr() -> Iterator[Callable[[], bytes]]:
    """Capture what C libraries write to stderr in the body; the yielded function returns it after the body.

    libjpeg reports guessed pixels of a damaged file in no other way.
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as captured:
        try:
            console = os.dup(2)
        except OSError:  # closed: nobody would read it
            yield lambda: b""
            return
        os.dup2(captured.fileno(), 2)
        content: list[bytes] = []
        try:
            yield lambda: content[0]
        finally:
            os.dup2(console, 2)
            os.close(console)
            captured.seek(0)
            content.append(captured.read())
