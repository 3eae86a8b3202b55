"""SHA-256 of files too large to read at once, and the meter that shows the progress of a long read or write."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 1 << 20


class Meter(Protocol):
    """Progress in bytes; the command line has one that draws a bar."""

    def start(self, what: str, total_bytes: int | None, done_bytes: int = 0) -> None: ...

    def advance(self, by_bytes: int) -> None: ...


class NoMeter:
    """Meter that shows nothing."""

    def start(self, what: str, total_bytes: int | None, done_bytes: int = 0) -> None:
        return None

    def advance(self, by_bytes: int) -> None:
        return None


def sha256_of(path: Path, meter: Meter | None = None) -> str:
    """Return the file's SHA-256, 64 hex digits. Raises OSError."""
    meter = meter or NoMeter()
    digest = hashlib.sha256()
    with path.open("rb") as source:
        meter.start(f"checking {path.name}", path.stat().st_size)
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            meter.advance(len(chunk))
    return digest.hexdigest()
