"""Receipt beside a cached file: its digest, with the size and time of the file for which it was computed."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError


class Receipt(BaseModel):
    """Record of how weights came into the cache."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    size_bytes: int
    mtime_ns: int
    source: str
    added: str


def receipt_path(path: Path) -> Path:
    """Return the path of the receipt of a cached file."""
    return path.with_name(path.name + ".json")


def read(path: Path) -> Receipt | None:
    """Read the receipt of a cached file; None where there is none that can be read."""
    try:
        return Receipt.model_validate_json(receipt_path(path).read_bytes())
    except (OSError, ValidationError):
        return None


def is_current(receipt: Receipt, path: Path) -> bool:
    """Return whether the file has still the size and time that the receipt was written for."""
    state = path.stat()
    return (state.st_size, state.st_mtime_ns) == (receipt.size_bytes, receipt.mtime_ns)


def write(path: Path, sha256: str, source: str) -> Receipt:
    """Write the receipt of a cached file, whole or not at all. Raises OSError."""
    state = path.stat()
    receipt = Receipt(
        sha256=sha256,
        size_bytes=state.st_size,
        mtime_ns=state.st_mtime_ns,
        source=source,
        added=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    fresh = path.with_name(f"{path.name}.json.{os.getpid()}.tmp")
    try:
        fresh.write_text(json.dumps(receipt.model_dump(), indent=1), encoding="utf-8")
        fresh.replace(receipt_path(path))
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    return receipt
