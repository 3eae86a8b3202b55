"""Keeps the image libraries' own warnings off the user's console; what is wrong with a file is said once, by us."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = ("tifffile", "aicsimageio", "ome_types", "ome_zarr", "zarr", "fsspec", "xmlschema", "numcodecs")
_NEVER = logging.CRITICAL + 1


@contextmanager
def silence() -> Iterator[None]:
    """Within this block the image libraries neither log nor warn; their levels are put back afterwards."""
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    # Loggers of submodules may carry levels of their own.
    loggers += [
        log
        for name, log in list(logging.root.manager.loggerDict.items())
        if isinstance(log, logging.Logger) and name.startswith(tuple(f"{n}." for n in _LIBRARIES))
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
