"""The active algorithm of this process, reported to listeners for crash diagnostics: a process that dies cannot report it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_listeners: list[Callable[[str], None]] = []


def listen(listener: Callable[[str], None]) -> None:
    """Call ``listener`` with the name of each algorithm that begins, and with "" when it has ended; from any thread."""
    _listeners.append(listener)


@contextmanager
def active(algorithm: str) -> Iterator[None]:
    """Report ``algorithm`` as active while the body runs."""
    for listener in _listeners:
        listener(algorithm)
    try:
        yield
    finally:
        for listener in _listeners:
            listener("")
