"""How the server was started."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the review server.

    Attributes:
        cache: folder for pictures, the user's alone.
        hosts: names under which browsers may ask for it; any other is refused (DNS rebinding).
        https: it is behind a proxy that speaks TLS; cookies are sent over TLS only.
        idle, longest: a session ends after so long without use, and after so long at all.
        owner: the account of single-user mode; None where people log in.
        workers_ahead: threads that draw pictures before they are asked for; 0 for none.
    """

    cache: Path
    hosts: tuple[str, ...] = LOOPBACK
    https: bool = False
    idle: timedelta = field(default=timedelta(minutes=30))
    longest: timedelta = field(default=timedelta(hours=12))
    owner: str | None = None
    workers_ahead: int = 1
