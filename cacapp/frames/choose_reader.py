"""Choose the reader of a file among the installed ones, and read its scenes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from cacapp.exceptions import CacappError
from cacapp.frames.file import unsupported_file
from cacapp.frames.pyramid import without_levels
from cacapp.frames.scene import first_line
from cacapp.host import Host, Registered, guard_reader, read_settings, reader_of, same_name
from cacapp.readers.quiet_libraries import quiet_libraries
from cacapp.readers.zarr_folder import is_zarr
from cacapp.scene import Scene

KINDS = ("reader",)
OWN = "cacapp"


class Readers:
    """The installed readers.

    cacapp's own are asked first, each in cacapp's process; then those of plugins, and last those that cacapp runs in a process of its own:
    whoever installs a plugin for a format wants it.

    Args:
        host: gives the plugins when they are first needed, for a file that cacapp's own readers do not know; None: there are none.
    """

    def __init__(self, host: Callable[[], Host] | None = None) -> None:
        self._host = host
        self._found: tuple[list[Registered], str] | None = None if host is not None else ([], "")

    def suffixes(self) -> tuple[str, ...]:
        """Return the suffixes of all readers."""
        return tuple(suffix for found in (*built_in(), *self._plugins()) for suffix in suffixes_of(found))

    def open(self, path: Path) -> tuple[list[Scene], Registered]:
        """Return the scenes of a file or folder, and the reader that read it.

        Raises:
            CacappError: the file is missing, damaged, or no installed reader reads it; one line that does not name the file.
        """
        if not path.exists():
            raise CacappError("no such file or folder")
        found = self._choose(path)
        return scenes_by(found, path), found

    def _choose(self, path: Path) -> Registered:
        own = [r for r in built_in() if not _apart(r)]
        if is_zarr(path):
            return next(r for r in own if ".zarr" in suffixes_of(r))
        chosen = _with_suffix(own, path)
        if chosen and not path.is_dir():
            return chosen[0]
        if not os.access(path, os.R_OK):
            raise CacappError("may not be read: permission denied")
        for several in (self._plugins(), [r for r in built_in() if _apart(r)]):
            chosen = [r for r in _with_suffix(several, path) if guard_reader.claims(reader_of(r), path)]
            if len(chosen) > 1:
                names = " and ".join(f"{r.name!r} ({r.origin})" for r in chosen)
                raise CacappError(f"two readers read it: {names}; keep one out with --no-plugin NAME")
            if chosen:
                return chosen[0]
        if path.is_dir():
            raise CacappError("a folder, and no OME-Zarr")
        raise CacappError(f"{unsupported_file(path.suffix.lower())}{self._problems()}")

    def _plugins(self) -> list[Registered]:
        return self._loaded()[0]

    def _problems(self) -> str:
        return self._loaded()[1]

    def _loaded(self) -> tuple[list[Registered], str]:
        if self._found is None:
            assert self._host is not None
            host = self._host()
            broken = "; ".join(str(p) for p in host.problems if p.kind in (None, *KINDS))
            plugins = [r for r in host.algorithms("reader") if not same_name(r.distribution, OWN)]
            self._found = plugins, f"; not loaded: {broken}" if broken else ""
        return self._found


@lru_cache(maxsize=1)
def built_in() -> tuple[Registered, ...]:
    """Return cacapp's own readers."""
    return tuple(Host.of(OWN, KINDS, apart=True).algorithms("reader"))


def suffixes_of(found: Registered) -> tuple[str, ...]:
    """Return the suffixes that a reader names."""
    return tuple(getattr(found.cls, "suffixes", ()))


def scenes_by(found: Registered, path: Path) -> list[Scene]:
    """Return the scenes of a file as one reader reads it, without smaller levels of a pyramid. Raises CacappError as ``Readers.open``."""
    if same_name(found.distribution, OWN) and not _apart(found):
        return without_levels(_own_scenes(found, path))
    return without_levels(guard_reader.scenes(reader_of(found), path))


def scenes_of(path: Path) -> list[Scene]:
    """Return the scenes of a file that cacapp reads without plugins. Raises CacappError as ``Readers.open``."""
    return Readers().open(path)[0]


def recorded_scenes(path: Path, reader: str | None, version: str | None) -> list[Scene]:
    """Return the scenes of a frame's file as the reader of its record reads it.

    Args:
        version: the reader's distribution and version; None where it was not recorded: cacapp's own readers.
    """
    distribution = (version or OWN).rpartition(" ")[0] or OWN
    found = reader_named(reader, distribution) if reader is not None else None
    return scenes_of(path) if found is None or not _apart(found) else scenes_by(found, path)


@lru_cache(maxsize=64)
def reader_named(name: str, distribution: str) -> Registered:
    """Return the installed reader of this name and distribution, as a frame's record names it. Raises CacappError where there is none."""
    hosts: Sequence[Callable[[], Host]] = (
        lambda: Host.of(OWN, KINDS, apart=True),
        lambda: Host.of(distribution, KINDS, apart=True),
        lambda: Host.discover(settings=read_settings(), kinds=KINDS),
    )
    for host in hosts[:1] if same_name(distribution, OWN) else hosts[2:] if read_settings() else hosts[1:2]:
        for found in host().algorithms("reader"):
            if found.name == name and same_name(found.distribution, distribution):
                return found
    raise CacappError(f"was read by the reader {name!r} of {distribution}, which is not installed: pip install {distribution}")


def _own_scenes(found: Registered, path: Path) -> list[Scene]:
    try:
        with quiet_libraries():
            return reader_of(found).scenes(path)
    except CacappError:
        raise
    except PermissionError:
        raise CacappError("may not be read: permission denied") from None
    except Exception as error:  # damaged files raise exceptions of any type, from struct.error to a library's assertion
        raise CacappError(f"cannot be read ({first_line(error)}); export it again") from error


def _with_suffix(found: Sequence[Registered], path: Path) -> list[Registered]:
    return [r for r in found if suffixes_of(r) and path.name.lower().endswith(suffixes_of(r))]


def _apart(found: Registered) -> bool:
    return bool(getattr(found.cls, "apart", True))
