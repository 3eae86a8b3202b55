"""Messages between a coordinator and its worker processes: pickles, each after its length, over pipes."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

LENGTH = struct.Struct("<Q")
BEGUN = "begun"
"""What a worker says when it has loaded the work and begins with the item."""


@dataclass(frozen=True, slots=True)
class AtWork:
    """What a worker says when an algorithm begins (``who``) or has ended ("")."""

    who: str


IDLE_EXIT = 75
"""Exit code of a worker that had nothing to do for a while: whatever it was sent meanwhile was not begun."""


def send(pipe: BinaryIO, message: Any) -> None:
    """Raises OSError where the other end is gone."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    pipe.write(LENGTH.pack(len(body)))
    pipe.write(body)
    pipe.flush()


def receive(pipe: BinaryIO) -> Any:
    """Raises EOFError where the other end is gone, even in the middle of a message."""
    (length,) = LENGTH.unpack(_read(pipe, LENGTH.size))
    return pickle.loads(_read(pipe, length))  # noqa: S301 from a process this program started


def _read(pipe: BinaryIO, size: int) -> bytes:
    body = pipe.read(size)
    if len(body) < size:
        raise EOFError
    return body
