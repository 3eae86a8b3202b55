"""Which algorithm is at work in this process, told to who listens: a process that dies cannot tell it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_listeners: list[Callable[[str], None]] = []


def listen(listener: Callable[[str], None]) -> None:
    """``listener`` is told who begins, and "" when it has ended; from any thread."""
    _listeners.append(listener)


@contextmanager
def at_work(who: str) -> Iterator[None]:
    """While the body runs, ``who`` is at work."""
    for listener in _listeners:
        listener(who)
    try:
        yield
    finally:
        for listener in _listeners:
            listener("")
