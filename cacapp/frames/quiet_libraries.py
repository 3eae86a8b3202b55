"""Keeps warnings of image libraries and of stores' drivers off the console; what is wrong with a file is said once, by us."""

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


class _Silenced:
    """What is silenced while any thread is in ``silence``, and how it was before the first came."""

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
                if log.level != _NEVER:  # by the first thread, or loaded since it came, or set anew by its library
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
    """Of the libraries, and of their submodules, which may carry levels of their own."""
    below = tuple(f"{name}." for name in _QUIET)
    others = [log for name, log in list(logging.root.manager.loggerDict.items()) if name.startswith(below)]
    return [logging.getLogger(name) for name in _QUIET] + [log for log in others if isinstance(log, logging.Logger)]


_silenced = _Silenced()


@contextmanager
def silence() -> Iterator[None]:
    """Within this block the image libraries and the drivers of stores neither log nor warn.

    When the last thread has left it all is as it was: levels and filters are the process', and threads read channels side by side.
    """
    _silenced.enter()
    try:
        yield
    finally:
        _silenced.leave()


@contextmanager
def overheard() -> Iterator[Callable[[], bytes]]:
    """Within this block what C libraries write to stderr is kept from the console; the call gives what was written, once the block is left.

    libjpeg says in no other way that it had to guess at damaged pixels.
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as heard:
        try:
            console = os.dup(2)
        except OSError:  # closed: nobody would read it
            yield lambda: b""
            return
        os.dup2(heard.fileno(), 2)
        content: list[bytes] = []
        try:
            yield lambda: content[0]
        finally:
            os.dup2(console, 2)
            os.close(console)
            heard.seek(0)
            content.append(heard.read())
