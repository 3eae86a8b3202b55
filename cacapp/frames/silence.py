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


@contextmanager
def silence() -> Iterator[None]:
    """Within this block the image libraries and the drivers of stores neither log nor warn; their levels are put back afterwards."""
    loggers = [logging.getLogger(name) for name in _QUIET]
    # Loggers of submodules may carry levels of their own.
    loggers += [
        log
        for name, log in list(logging.root.manager.loggerDict.items())
        if isinstance(log, logging.Logger) and name.startswith(tuple(f"{n}." for n in _QUIET))
    ]
    levels = [log.level for log in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for log in loggers:
            log.setLevel(_NEVER)
        try:
            yield
        finally:
            for log, level in zip(loggers, levels, strict=True):
                log.setLevel(level)


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
