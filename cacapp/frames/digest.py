"""SHA-256 of image files and OME-Zarr folders."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=4096)
def _file_digest(path: str, size: int, mtime_ns: int, inode: int) -> str:
    """Size, time and inode are the cache's key: a file that was written to is read again."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(path: Path) -> str:
    stat = path.stat()
    return _file_digest(os.fspath(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)


def sha256_of(path: Path | str) -> str:
    """Hex SHA-256 of a file's contents; of a folder, over the sorted relative paths of its files with their digests.

    A digest is remembered within the process as long as path, size, modification time and inode stay the same.
    Raises OSError where the file cannot be read.
    """
    path = Path(path).absolute()
    if not path.is_dir():
        return _digest(path)
    whole = hashlib.sha256()
    for relative, file in sorted((f.relative_to(path).as_posix(), f) for f in path.rglob("*") if f.is_file()):
        whole.update(f"{relative}\0{_digest(file)}\n".encode())
    return whole.hexdigest()


def combined_sha256(digests: list[str]) -> str:
    """Digest of a frame kept in several files, from theirs in canonical channel order; of a single file, its own."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
