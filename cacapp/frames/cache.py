"""Cache of remote frames on this machine's disk: only whole files, safe for concurrent processes, below a limit of size."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from cacapp.exceptions import CacappError, UsageError
from cacapp.frames.digest import sha256_of
from cacapp.frames.remote import check_address, fetch, is_image, is_remote

FOLDER_VARIABLE = "CACAPP_FRAME_CACHE"
LIMIT_VARIABLE = "CACAPP_FRAME_CACHE_GB"
LIMIT_GB = 20.0
_CACHE = ".cache"
_PART = ".part-"
_IN_USE = ".in-use"
_POLL_S = 0.01


class CachedPath:
    """A file or OME-Zarr folder on this machine: the original, or a copy that stays in the cache while this object exists.

    Attributes:
        uri: path or address of the original.
        path: where its bytes are.
    """

    def __init__(self, uri: str, path: Path, lock: BaseFileLock | None = None) -> None:
        self.uri, self.path = uri, path
        if lock is not None:
            weakref.finalize(self, _release, lock)


def cached_path(uri: str, sha256: str | None = None) -> CachedPath:
    """Return the local path of a frame's file; download it where it is remote and the cache has no intact copy.

    Args:
        sha256: digest at ingest: a copy with another digest is downloaded again, then refused. None: always download.

    Raises:
        UsageError: an address that cannot be read.
        CacappError: the download fails, the file has changed, or the disk is full; the message follows the address.
    """
    if not is_remote(uri):
        return CachedPath(uri, Path(uri))
    uri, limit = check_address(uri), limit_bytes()
    place = folder() / _name(uri)
    with _file_lock(place):  # of several processes that want this file, one downloads it
        copy = _find_copy(uri, place) if sha256 is not None else None
        if copy is None or sha256_of(copy.path, ours=True) != sha256:
            copy = None  # the damaged copy is no longer in use
            copy = _download(uri, place)
        try:
            found = sha256_of(place, ours=True)
        except FileNotFoundError:  # only another program removes a copy in use
            raise CacappError(f"was removed from {place.parent} while it was read; name another folder with {FOLDER_VARIABLE}") from None
        if found != (sha256 or found):
            copy = None
            with _file_lock(place.parent / _CACHE):
                _remove(place)
            again = "put the original back, or ingest the changed frame as a new slide"
            raise CacappError(f"has changed since ingest (SHA-256 {found[:12]}, was {str(sha256)[:12]}); {again}")
    _trim(place.parent, limit)
    return copy


def digest_now(uri: str) -> str:
    """Return the SHA-256 of the original, not of a copy. Raises OSError for a path that cannot be read, else as ``cached_path``."""
    if not is_remote(uri):
        return sha256_of(uri)
    uri, where = check_address(uri), folder()
    try:
        with _part_folder(where) as part:
            fetch(uri, part / _name(uri))
            return sha256_of(part / _name(uri))
    except OSError as error:
        raise _write_error(where, error) from None


def folder() -> Path:
    """Return the cache folder, readable by this user alone: CACAPP_FRAME_CACHE, else the platform's cache folder; create it.

    Raises CacappError where it cannot be written.
    """
    from platformdirs import user_cache_dir

    named = os.environ.get(FOLDER_VARIABLE)
    path = Path(named).expanduser().absolute() if named else Path(user_cache_dir("cacapp", appauthor=False)) / "frames"
    way_out = f"name another folder with {FOLDER_VARIABLE}"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CacappError(f"has no place here: {path} cannot be made ({error.strerror}); {way_out}") from None
    if not os.access(path, os.W_OK):
        raise CacappError(f"has no place here: {path} cannot be written to; {way_out}")
    return path


def limit_bytes() -> int:
    """Return the largest size of the cache, from CACAPP_FRAME_CACHE_GB. Raises UsageError where that is no positive number."""
    text = os.environ.get(LIMIT_VARIABLE) or str(LIMIT_GB)
    try:
        limit_gb = float(text)
    except ValueError:
        limit_gb = -1.0
    if not 0 <= limit_gb < 1e9:
        raise UsageError(f"{LIMIT_VARIABLE} must be a number of gigabytes, got {text!r}")
    return int(limit_gb * 1e9)


def _name(uri: str) -> str:
    """Return the file name of a copy: the suffix selects the reader, the rest is a digest, so an address cannot choose the folder."""
    lower = uri.lower()
    suffix = lower[lower.rindex(".") :] if is_image(uri) else ".zarr"
    return hashlib.sha256(uri.encode()).hexdigest()[:40] + suffix


def _find_copy(uri: str, place: Path) -> CachedPath | None:
    with _file_lock(place.parent / _CACHE):
        return _use(uri, place) if place.exists() else None


def _use(uri: str, place: Path) -> CachedPath:
    """Mark a copy as used now, and keep it from being removed. The caller has the lock of the cache."""
    # the time of access orders the copies for removal; that of writing must stay, since the digest is remembered by it
    os.utime(place, ns=(time.time_ns(), place.stat().st_mtime_ns))
    return CachedPath(uri, place, _mark_in_use(place))


def _download(uri: str, place: Path) -> CachedPath:
    """Download into a folder of its own, then rename; empty the cache and try once more where the disk is full."""
    emptied = False
    while True:
        try:
            with _part_folder(place.parent) as part:
                fetch(uri, part / place.name)
                with _file_lock(place.parent / _CACHE):
                    if not place.is_dir() or _remove(place):  # a folder is not replaced by a rename; one in use stays
                        (part / place.name).replace(place)
                    return _use(uri, place)
        except OSError as error:
            if emptied or error.errno != errno.ENOSPC:
                raise _write_error(place.parent, error) from None
        _trim(place.parent, 0)
        emptied = True


@contextmanager
def _part_folder(where: Path) -> Iterator[Path]:
    """Create a folder for one download; remove it at the end."""
    with _file_lock(where / _CACHE):
        part = Path(tempfile.mkdtemp(prefix=_PART, dir=where))
        lock = _mark_in_use(part)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        _release(lock)


def _write_error(where: Path, error: OSError) -> CacappError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CacappError(f"has no room in {where}: the disk is full; make room, or name another folder with {FOLDER_VARIABLE}")
    return CacappError(f"cannot be copied to {where} ({error.strerror or error}); name another folder with {FOLDER_VARIABLE}")


def _trim(where: Path, limit: int) -> None:
    """Remove the least recently used copies until the rest takes at most ``limit`` bytes, and what killed processes left behind."""
    with _file_lock(where / _CACHE):
        for part in where.glob(f"{_PART}*"):
            if part.is_dir():
                _remove(part)
        copies = sorted((_used_and_size(c), c) for c in where.iterdir() if not c.name.startswith("."))
        total = sum(size for (_, size), _ in copies)
        for (_, size), copy in copies:
            if total <= limit:
                return
            total -= size if _remove(copy) else 0


def _used_and_size(copy: Path) -> tuple[int, int]:
    """Return the time of last use, ns, and the size in bytes; zeros for a copy that another program removes meanwhile."""
    with suppress(FileNotFoundError):
        used = copy.stat()
        size = sum(f.stat().st_size for f in copy.rglob("*")) if copy.is_dir() else used.st_size
        return used.st_atime_ns, size
    return 0, 0


def _remove(path: Path) -> bool:
    """Delete a copy unless it is in use; return whether it is gone. The caller has the lock of the cache."""
    for mark in path.parent.glob(f".{path.name.lstrip('.')}.*{_IN_USE}"):
        lock = FileLock(mark)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        _release(lock)  # its process was killed
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return True


def _mark_in_use(path: Path) -> BaseFileLock:
    """Lock a new file beside ``path``, which ``_remove`` heeds; the system unlocks it when the process ends, even when it is killed."""
    lock = FileLock(path.with_name(f".{path.name.lstrip('.')}.{uuid.uuid4().hex}{_IN_USE}"), thread_local=False)
    lock.acquire()
    return lock


def _release(lock: BaseFileLock) -> None:
    """Remove a lock's file, then unlock it: a process that waits for it sees that and locks a new one."""
    if lock.is_locked:  # not in a process that was forked meanwhile
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    """Run the body in one thread of one process at a time, for all that ask with the same path."""
    lock = FileLock(path.with_name(f".{path.name.lstrip('.')}.lock"), poll_interval=_POLL_S)
    try:
        lock.acquire()
    except OSError as error:
        raise _write_error(path.parent, error) from None
    try:
        yield
    finally:
        _release(lock)
