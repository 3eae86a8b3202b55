"""SHA-256 of image files and OME-Zarr folders."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

State = tuple[str, int, int, int, int, int]
"""State of a file when it was read: path, size, times of writing and of change, ns, inode and device.

A later change gives another state, even where the time of writing was set back: the time of change cannot be set.
"""

_REMEMBERED = 65_536
"""Largest number of digests in memory, the latest: about 30 MB."""
PIECE = 4 << 20
"""Bytes hashed at a time: with the quarter of a megabyte of ``hashlib.file_digest``, threads wait for the interpreter, not the disk."""
_known: dict[State, str] = {}
_under_way: dict[State, threading.Event] = {}


def _state(path: Path, ours: bool = False) -> State:
    stat = path.stat()
    return os.fspath(path), stat.st_size, stat.st_mtime_ns, 0 if ours else stat.st_ctime_ns, stat.st_ino, stat.st_dev


def _digest(path: Path, ours: bool) -> str:
    state = _state(path, ours)
    mine = threading.Event()
    first = _under_way.setdefault(state, mine)
    if first is not mine:  # another thread reads it
        first.wait()
    try:
        found = _known.get(state)
        if found is None:
            found = _read(path, state[1])
            add_known_digests({state: found})
        return found
    finally:
        if first is mine:
            del _under_way[state]
            mine.set()


def _read(path: Path, size: int) -> str:
    whole, piece = hashlib.sha256(), memoryview(bytearray(max(1, min(size, PIECE))))
    with path.open("rb", buffering=0) as file:
        while got := file.readinto(piece):
            whole.update(piece[:got])
    return whole.hexdigest()


@contextmanager
def hash_ahead(paths: Sequence[Path], readers: int) -> Iterator[None]:
    """Compute the files' digests in ``readers`` threads while the body runs, in order, for later calls of ``sha256_of``.

    Files that cannot be read are left to the caller. One reader computes none ahead. The end does not wait for a file that hangs.
    """
    left, lock, over = iter(paths), threading.Lock(), threading.Event()

    def work() -> None:
        while not over.is_set():
            with lock:
                path = next(left, None)
            if path is None:
                return
            with suppress(OSError):
                if path.is_file() or path.is_dir():  # reading a pipe would block
                    sha256_of(path)

    with suppress(RuntimeError):  # no thread can be started: the caller reads the file itself
        for _ in range(min(readers, len(paths)) if readers > 1 else 0):
            threading.Thread(target=work, name="cacapp-hash", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def known_digests(paths: Iterable[Path | str]) -> dict[State, str]:
    """Return the digests that this process knows of unchanged files, for ``add_known_digests`` in another process."""
    found = {}
    for path in paths:
        try:
            state = _state(Path(path).absolute())
        except OSError:
            continue  # opening it reports the problem
        if state in _known:
            found[state] = _known[state]
    return found


def add_known_digests(digests: Mapping[State, str]) -> None:
    """Add digests that another process has computed; a file is read again only when it has changed since."""
    _known.update(digests)
    while len(_known) > _REMEMBERED:
        try:
            del _known[next(iter(_known))]
        except (KeyError, StopIteration, RuntimeError):  # another thread was faster
            continue


def states_of(path: Path, *, ours: bool = False) -> tuple[State, ...]:
    """Return the state of a file, or of every file of a folder. Raises OSError where it cannot be read."""
    path = path.absolute()
    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    return tuple(_state(file, ours) for file in files)


def sha256_of(path: Path | str, *, ours: bool = False) -> str:
    """Return the hex SHA-256 of a file's contents; of a folder, over the sorted relative paths of its files with their digests.

    A digest is reused within the process as long as the file's ``State`` stays the same. ``ours``: only this program writes the file, and
    its time of change is ignored, since that is the time of the last use.

    Raises OSError where the file cannot be read.
    """
    path = Path(path).absolute()
    if not path.is_dir():
        return _digest(path, ours)
    whole = hashlib.sha256()
    for relative, file in sorted((f.relative_to(path).as_posix(), f) for f in path.rglob("*") if f.is_file()):
        whole.update(f"{relative}\0{_digest(file, ours)}\n".encode())
    return whole.hexdigest()


def combined_sha256(digests: list[str]) -> str:
    """Return the digest of a frame of several files, from theirs in canonical channel order; of a single file, its own."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
