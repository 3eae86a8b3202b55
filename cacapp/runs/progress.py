"""Progress of a step, and the report of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Progress(Protocol):
    """Receives the progress of a step: the console shows a bar, a script nothing."""

    def start(self, what: str, total: int) -> None:
        """Begin a task of ``total`` items."""

    def advance(self, note: str = "", by: int = 1) -> None:
        """Count ``by`` items as done; ``note`` names the last one."""

    def warn(self, line: str) -> None:
        """Report what a person should know, in one line; the step continues."""

    def fail(self, line: str) -> None:
        """Report a file, frame or slide that failed, and why, in one line; the step continues with the others."""


class Silent:
    """A progress that reports nothing."""

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
    """What a run of a step did on one slide.

    Attributes:
        slide: barcode.
        run_id: the run that holds the result.
        frames: frames of the run; ``done`` of them have results.
        failed: (frame name, error) of the others.
        repeated: an earlier run did exactly this, so nothing was done.
        before: frames that an earlier call had done.
        items: cells or signals written by this call.
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
