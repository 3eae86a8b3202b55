"""A file of a slide while ingest reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cacapp.exceptions import CacappError
from cacapp.frames.cache import CachedPath, cached_path
from cacapp.frames.choose_reader import Readers
from cacapp.frames.digest import State, states_of
from cacapp.frames.file import unsupported_file
from cacapp.frames.remote import as_uri, is_remote
from cacapp.host import Registered
from cacapp.readers.built_in import SUFFIXES
from cacapp.scene import Scene


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file with its scenes, the reader that read them, and its state before that."""

    file: CachedPath
    scenes: list[Scene]
    reader: Registered
    states: tuple[State, ...]

    @property
    def reads_apart(self) -> bool:
        """Whether the reader runs in a process of its own, as those of plugins do."""
        return bool(getattr(self.reader.cls, "apart", True))

    def check_unchanged(self) -> None:
        """Raise CacappError where the file has changed since it was opened."""
        if states_of(self.file.path, ours=is_remote(self.file.uri)) != self.states:
            raise CacappError("changed while it was read; wait until it is written, then start again")


def open_file(path: Path, installed: Readers) -> OpenedFile:
    """Return a file with its scenes."""
    suffix = path.suffix.lower()
    if not path.is_absolute() and suffix not in (*SUFFIXES, ".zarr", "") and suffix not in installed.suffixes():
        raise unsupported_file(suffix)  # before it is downloaded
    file = cached_path(as_uri(path))
    if not file.path.exists():
        raise CacappError("no such file or folder")
    states = states_of(file.path, ours=is_remote(file.uri))
    scenes, reader = installed.open(file.path)
    return OpenedFile(file, scenes, reader, states)


def check_opened(files: Sequence[OpenedFile]) -> None:
    """Raise CacappError where a file of a frame has changed since it was opened, or readers of plugins share the frame with others."""
    for file in {id(file): file for file in files}.values():
        file.check_unchanged()
    readers = {(file.reader.name, file.reader.distribution) for file in files}
    if len(readers) > 1 and any(file.reads_apart for file in files):
        raise CacappError(f"its channels are read by different readers ({', '.join(sorted(n for n, _ in readers))}); export them alike")
