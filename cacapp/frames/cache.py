"""Copies of remote frames on this machine's disk: whole or not there, safe among processes, and not more than a limit."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cacapp.exceptions import CacappError, UsageError
from cacapp.frames.digest import sha256_of
from cacapp.frames.remote import check_address, fetch, is_image, is_remote

FOLDER_VARIABLE = "CACAPP_FRAME_CACHE"
LIMIT_VARIABLE = "CACAPP_FRAME_CACHE_GB"
LIMIT_GB = 20.0
_PART = ".part-"
_ROOM = ".room"


class Held:
    """A file or OME-Zarr folder that can be read here: the original, or a copy that is not removed while this is in use.

    Attributes:
        uri: path or address of the original.
        path: where its bytes are.
    """

    def __init__(self, uri: str, path: Path, lock: int | None = None) -> None:
        self.uri, self.path = uri, path
        if lock is not None:
            weakref.finalize(self, os.close, lock)


def held(uri: str, sha256: str | None = None) -> Held:
    """What a frame's address stands for, fetched where it is remote and no good copy is here.

    Args:
        sha256: of ingest: a copy with another one is fetched again, then refused. None: fetch what the store has now.

    Raises:
        UsageError: an address that is not read.
        CacappError: it cannot be fetched or has changed, or there is no room for it; the line follows the address.
    """
    if not is_remote(uri):
        return Held(uri, Path(uri))
    uri, limit = check_address(uri), limit_bytes()
    place = folder() / _name(uri)
    with _alone(place):
        copy = _hold(uri, place) if sha256 is not None else None
        if copy is None or sha256_of(copy.path, ours=True) != sha256:
            copy = None  # lets go of it
            copy = _bring(uri, place)
        try:
            found = sha256_of(place, ours=True)
        except FileNotFoundError:  # held, it goes only on a file system without locks
            raise CacappError(f"was taken out of {place.parent} while it was read; name another folder with {FOLDER_VARIABLE}") from None
        if found != (sha256 or found):
            copy = None
            _remove(place)
            again = "put the original back, or ingest the changed frame as a new slide"
            raise CacappError(f"has changed since ingest (SHA-256 {found[:12]}, was {str(sha256)[:12]}); {again}")
    _trim(place.parent, limit)
    return copy


def digest_now(uri: str) -> str:
    """SHA-256 of what an address holds now, past any copy. Raises OSError for a path that cannot be read, else as ``held``."""
    if not is_remote(uri):
        return sha256_of(uri)
    uri = check_address(uri)
    part, lock = _part(folder())
    try:
        fetch(uri, part / _name(uri))
        return sha256_of(part / _name(uri))
    except OSError as error:
        raise _no_room(part.parent, error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        os.close(lock)


def folder() -> Path:
    """Where copies are kept, for this user alone: the variable CACAPP_FRAME_CACHE, else the platform's cache folder; made if need be.

    Raises CacappError where it cannot be written.
    """
    from platformdirs import user_cache_dir

    named = os.environ.get(FOLDER_VARIABLE)
    path = Path(named).expanduser().absolute() if named else Path(user_cache_dir("cacapp", appauthor=False)) / "frames"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CacappError(
            f"has no place here: {path} cannot be made ({error.strerror}); name another folder with {FOLDER_VARIABLE}"
        ) from None
    if not os.access(path, os.W_OK):
        raise CacappError(f"has no place here: {path} cannot be written to; name another folder with {FOLDER_VARIABLE}")
    return path


def limit_bytes() -> int:
    """How much is kept, from CACAPP_FRAME_CACHE_GB. Raises UsageError where that is no positive number."""
    text = os.environ.get(LIMIT_VARIABLE) or str(LIMIT_GB)
    try:
        limit_gb = float(text)
    except ValueError:
        limit_gb = -1.0
    if not 0 <= limit_gb < 1e9:
        raise UsageError(f"{LIMIT_VARIABLE} must be a number of gigabytes, got {text!r}")
    return int(limit_gb * 1e9)


def _name(uri: str) -> str:
    """Of a copy: the suffix says how it is read, the rest is a digest, so that no address steers where it is written."""
    lower = uri.lower()
    suffix = lower[lower.rindex(".") :] if is_image(uri) else ".zarr"
    return hashlib.sha256(uri.encode()).hexdigest()[:40] + suffix


def _bring(uri: str, place: Path) -> Held:
    """Fetches into a folder of its own, then renames."""
    emptied = False
    while True:
        part, lock = _part(place.parent)
        try:
            fetch(uri, part / place.name)
            return _put(uri, part / place.name, place)
        except OSError as error:
            if emptied or error.errno != errno.ENOSPC:
                raise _no_room(place.parent, error) from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
            os.close(lock)
        _trim(place.parent, 0)
        emptied = True


def _put(uri: str, fetched: Path, place: Path) -> Held:
    """Moves what was fetched to its place. It is held before others can see it, who may be making room."""
    while place.is_dir() and (_same(place, fetched) or not _remove(place)):  # a folder cannot be renamed over another; one in use stays
        there = _hold(uri, place)
        if there is not None:
            return there
    if os.name == "nt":  # renames no open file, and removes none
        fetched.replace(place)
        return Held(uri, place, os.open(place, os.O_RDONLY))
    opened = os.open(fetched, os.O_RDONLY)
    copy = Held(uri, place, opened)
    _lock(opened, shared=True)
    with _alone(place.parent / _ROOM):  # one who makes room has opened the file that was there, and would remove this one for it
        fetched.replace(place)
    return copy


def _same(place: Path, fetched: Path) -> bool:
    with suppress(FileNotFoundError):  # it is removed just now
        return sha256_of(place, ours=True) == sha256_of(fetched)
    return False


def _no_room(where: Path, error: OSError) -> CacappError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CacappError(f"has no room in {where}: the disk is full; make room, or name another folder with {FOLDER_VARIABLE}")
    return CacappError(f"cannot be copied to {where} ({error.strerror or error}); name another folder with {FOLDER_VARIABLE}")


def _hold(uri: str, place: Path) -> Held | None:
    """The copy, kept from being removed; None where there is none."""
    while True:
        try:
            opened = os.open(place, os.O_RDONLY)
        except FileNotFoundError:
            return None
        _lock(opened, shared=True)
        with suppress(FileNotFoundError):
            now = place.stat()
            if now.st_ino == os.fstat(opened).st_ino:
                # the time of last use orders what goes first; that of writing stays, for the digest is remembered by it
                os.utime(place, ns=(time.time_ns(), now.st_mtime_ns))
                return Held(uri, place, opened)
        os.close(opened)


def _trim(where: Path, limit: int) -> None:
    """Removes the copies unused for longest until all take no more than ``limit`` bytes, and what dead processes left half fetched."""
    with _alone(where / _ROOM):
        for part in where.glob(f"{_PART}*"):
            _remove(part)
        copies = sorted((_used_and_size(c), c) for c in where.iterdir() if not c.name.startswith("."))
        total = sum(size for (_, size), _ in copies)
        for (_, size), copy in copies:
            if total <= limit:
                return
            total -= size if _remove(copy) else 0


def _used_and_size(copy: Path) -> tuple[int, int]:
    """Time of last use, ns, and size in bytes; zeros of what another process removes just now."""
    with suppress(FileNotFoundError):
        used = copy.stat()
        size = sum(f.stat().st_size for f in copy.rglob("*")) if copy.is_dir() else used.st_size
        return used.st_atime_ns, size
    return 0, 0


def _part(where: Path) -> tuple[Path, int]:
    """A new folder to fetch into, and the open lock that says its process is alive."""
    with _alone(where / _ROOM):
        try:
            part = Path(tempfile.mkdtemp(prefix=_PART, dir=where))
        except OSError as error:
            raise _no_room(where, error) from None
        lock = os.open(part, os.O_RDONLY)
        _lock(lock)
        return part, lock


def _remove(path: Path) -> bool:
    """Deletes a copy unless it is in use; whether it is gone."""
    try:
        opened = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        if not _lock(opened, wait=False):
            return False
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        return True
    finally:
        os.close(opened)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process, and one thread of it, at a time for what lies at ``path``; a process that dies lets go."""
    lock = path.with_name(f".{path.name.lstrip('.')}.lock")
    while True:
        try:
            opened = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _no_room(lock.parent, error) from None
        _lock(opened)
        with suppress(FileNotFoundError):
            if lock.stat().st_ino == os.fstat(opened).st_ino:
                break
        os.close(opened)  # its last owner removed it meanwhile
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(opened)


def _lock(opened: int, *, shared: bool = False, wait: bool = True) -> bool:
    """Locks an open file or folder; False where another has it and this does not wait."""
    try:
        import fcntl
    except ImportError:  # Windows, which removes no open file anyway
        return True
    try:
        fcntl.flock(opened, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        pass  # a network file system without locks: there the digest finds what went wrong
    return True
