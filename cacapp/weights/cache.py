"""Cache of weights: the folder on this machine, the state of each file, and adding a file by hand. Nothing here downloads."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cacapp.exceptions import CacappError, UsageError
from cacapp.weights import receipt
from cacapp.weights.digest import CHUNK_BYTES, Meter, NoMeter, sha256_of
from cacapp.weights.registry import Entry, find

EMBEDDED = Path(__file__).parent
VARIABLE = "CACAPP_WEIGHTS"

Where = Literal["embedded", "here", "partly here", "not here", "missing"]
"""``missing``: embedded weights that the installation lacks."""

Finding = Literal["whole", "unchecked", "damaged", "not here"]
"""``unchecked``: no digest is known to check against."""


@dataclass(frozen=True)
class Verdict:
    """Result of the check of one file; ``sha256`` is the file's own digest, None where there is no file."""

    entry: Entry
    path: Path
    finding: Finding
    sha256: str | None
    why: str = ""


def folder() -> Path:
    """Return the cache folder: the variable CACAPP_WEIGHTS, else the platform's data folder for this user."""
    from platformdirs import user_data_dir

    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else Path(user_data_dir("cacapp", appauthor=False)) / "weights"


def make_folder() -> Path:
    """Create the cache folder where it is missing, and return it. Raises CacappError where it cannot be written."""
    path = folder()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacappError(f"{path}: the folder for weights cannot be made ({error.strerror}); name another with {VARIABLE}") from None
    if not os.access(path, os.W_OK):
        raise CacappError(f"{path}: the folder for weights cannot be written to; name another with {VARIABLE}")
    return path


def path_of(entry: Entry) -> Path:
    """Return the path of the entry's file, whether it exists or not."""
    return (EMBEDDED if entry.embedded else folder()) / entry.file


def part_of(entry: Entry) -> Path:
    """Return the path of an unfinished download of the entry, whether it exists or not."""
    return folder() / f"{entry.file}.part"


def where(entry: Entry) -> Where:
    """Return whether the entry's file is on this machine, without reading it."""
    if path_of(entry).is_file():
        return "embedded" if entry.embedded else "here"
    if entry.embedded:
        return "missing"
    return "partly here" if part_of(entry).is_file() else "not here"


def locate(name: str) -> Path:
    """Return the path of the weights ``name``, after a check of their digest. Never downloads.

    The file is read once; later calls compare its size and time. Raises UsageError for an unknown name, CacappError where the file is
    not here (with the way to get it) or is not the published one.
    """
    return _located(find(name))[0]


def digest_of(name: str) -> str:
    """Return the SHA-256 of the weights ``name``, 64 hex digits, for a run's record. Raises what ``locate`` raises."""
    return _located(find(name))[1]


def choose(weights: str) -> tuple[Path, str]:
    """Return path and SHA-256 of weights that a parameter names: an entry of the registry, or the path of a file from a training.

    Raises UsageError where it is neither, CacappError where an entry's file is not here or damaged.
    """
    path = Path(weights).expanduser()
    if path.suffix and not path.is_file():
        raise UsageError(f"weights {weights}: no such file")
    return (path, sha256_of(path)) if path.suffix else _located(find(weights))


def how_to_get(entry: Entry) -> str:
    """Say how to get the entry's file, online and offline."""
    return (
        f"run `cacapp weights pull {entry.name}`, or on an offline machine bring {entry.file} (from {entry.url}) "
        f"and run `cacapp weights add {entry.name} {entry.file}`, which puts it into {folder()}"
    )


def verify(entry: Entry, meter: Meter | None = None) -> Verdict:
    """Read the entry's file and compare its digest with the registry, and with the receipt where the registry has none."""
    path = path_of(entry)
    if not path.is_file():
        return Verdict(entry, path, "not here", None, "missing from this installation" if entry.embedded else "")
    digest = _digest(path, meter)
    kept = None if entry.embedded else receipt.read(path)
    if why := mismatch(entry, path.stat().st_size, digest):
        return Verdict(entry, path, "damaged", digest, why)
    if kept is not None and kept.sha256 != digest:
        return Verdict(entry, path, "damaged", digest, f"SHA-256 {digest}, it was {kept.sha256} when it came on {kept.added}")
    if kept is None and entry.matches(digest) is None:
        return Verdict(entry, path, "unchecked", digest, "no SHA-256 is known for it")
    return Verdict(entry, path, "whole", digest)


def mismatch(entry: Entry, size_bytes: int, digest: str | None = None) -> str:
    """Say how a file differs from the registry: size, then digest where given. Empty where it does not."""
    if entry.size_bytes is not None and size_bytes != entry.size_bytes:
        return f"{size_bytes:,} bytes instead of {entry.size_bytes:,}"
    if digest is not None and entry.matches(digest) is False:
        return f"SHA-256 {digest} instead of {entry.sha256}"
    return ""


def add(name: str, file: Path, meter: Meter | None = None) -> Path:
    """Copy a file into the cache, if it is the published one; return its path there.

    The copy is complete or absent. Its digest is recorded. Raises UsageError for an unknown or embedded name or no such file,
    CacappError for another file than the published one or a full disk.
    """
    entry, meter = find(name), meter or NoMeter()
    if entry.embedded:
        raise UsageError(f"weights {name!r} come with cacapp; there is nothing to add")
    if not file.is_file():
        raise UsageError(f"{file}: {'no file but a folder' if file.is_dir() else 'no such file'}")
    if why := mismatch(entry, file.stat().st_size):
        raise CacappError(f"{file} is not {entry.file}: {why}")
    target = make_folder() / entry.file
    if target.exists() and target.samefile(file):
        return _located(entry)[0]
    copy = _copy(file, target, meter)
    try:
        digest = _digest(copy, meter)
        if why := mismatch(entry, copy.stat().st_size, digest):
            raise CacappError(f"{file} is not {entry.file}: {why}; it was not kept")
        receipt.receipt_path(target).unlink(missing_ok=True)  # of the file before it
        copy.replace(target)
        receipt.write(target, digest, str(file.resolve()))
    except OSError as error:
        raise write_error(target, error) from None
    finally:
        copy.unlink(missing_ok=True)
    return target


def write_error(path: Path, error: OSError) -> CacappError:
    """Return the error to raise where writing into the cache failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CacappError(f"{path}: the disk is full; make room, or name another folder with {VARIABLE}")
    return CacappError(f"{path}: cannot be written ({error.strerror or error})")


def check_room(path: Path, need_bytes: int) -> None:
    """Raise CacappError where the disk of an existing folder has less room than needed."""
    free = shutil.disk_usage(path).free
    if need_bytes > free:
        raise CacappError(f"{path}: {need_bytes:,} bytes are needed, {free:,} are free; make room, or name another folder with {VARIABLE}")


def _located(entry: Entry) -> tuple[Path, str]:
    """Return path and SHA-256 of the entry's file. Raises what ``locate`` raises."""
    path = path_of(entry)
    if not path.is_file():
        if entry.embedded:
            raise CacappError(f"weights {entry.name!r} belong to cacapp, but {path} is missing: install cacapp anew")
        raise CacappError(f"weights {entry.name!r} are not here: {how_to_get(entry)}")
    kept = None if entry.embedded else receipt.read(path)
    if kept is not None and receipt.is_current(kept, path) and not mismatch(entry, kept.size_bytes, kept.sha256):
        return path, kept.sha256
    verdict = verify(entry)
    if verdict.finding == "damaged":
        way = "install cacapp anew" if entry.embedded else f"remove it, then {how_to_get(entry)}"
        raise CacappError(f"{path} is not the published file of {entry.name!r}: {verdict.why}; {way}")
    digest = str(verdict.sha256)
    if not entry.embedded:
        # a shared folder that others fill may be read-only: then the file is read through each time, nothing else is lost
        with suppress(OSError):
            receipt.write(path, digest, kept.source if kept else "put here by hand")
    return path, digest


def _digest(path: Path, meter: Meter | None) -> str:
    try:
        return sha256_of(path, meter)
    except OSError as error:
        raise CacappError(f"{path}: cannot be read ({error.strerror or error})") from None


def _copy(file: Path, target: Path, meter: Meter) -> Path:
    """Copy a file beside ``target``; return the path of the copy, which is removed again where that fails."""
    size = file.stat().st_size
    check_room(target.parent, size)
    copy = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    meter.start(f"copying {file.name}", size)
    try:
        source = file.open("rb")
    except OSError as error:
        raise CacappError(f"{file}: cannot be read ({error.strerror or error})") from None
    try:
        with source, copy.open("wb") as sink:
            while chunk := source.read(CHUNK_BYTES):
                sink.write(chunk)
                meter.advance(len(chunk))
            sink.flush()
            os.fsync(sink.fileno())
    except OSError as error:
        copy.unlink(missing_ok=True)
        raise write_error(target, error) from None
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy
