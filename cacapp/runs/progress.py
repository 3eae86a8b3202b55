"""What a step tells while it works, and what it hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Progress(Protocol):
    """Where a step reports to: the console shows a bar, a script nothing."""

    def start(self, what: str, total: int) -> None:
        """A new piece of work of ``total`` items begins."""

    def advance(self, note: str = "", by: int = 1) -> None:
        """``by`` items are done, ``note`` the last of them."""

    def warn(self, line: str) -> None:
        """Something a person should know, in one line; the work goes on."""

    def fail(self, line: str) -> None:
        """A file, frame or slide that could not be done, and why, in one line; the work on the others goes on."""


class Silent:
    """Reports nothing."""

    def start(self, what: str, total: int) -> None:
        return None

    def advance(self, note: str = "", by: int = 1) -> None:
        return None

    def warn(self, line: str) -> None:
        return None

    def fail(self, line: str) -> None:
        return None


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a step did on one slide.

    Attributes:
        slide: barcode.
        run_id: the run that holds the result.
        frames: frames of the run; ``done`` of them have results, now or from before.
        failed: (frame name, error) of the others.
        repeated: nothing was left to do: an earlier run did exactly this.
        before: frames that were done before, and not again.
        items: cells or signals written now.
        seconds: wall time, s.
    """

    slide: str
    run_id: int
    step: str
    frames: int
    done: int
    failed: Sequence[tuple[str, str]] = field(default_factory=tuple)
    repeated: bool = False
    before: int = 0
    items: int = 0
    seconds: float = 0.0
