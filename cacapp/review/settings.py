"""Settings of a running review server."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of `cacapp review`.

    Attributes:
        cache: folder for pictures, readable by the user alone.
        hosts: host names that browsers may use; any other is refused (DNS rebinding).
        https: the server is behind a TLS proxy; cookies are sent over TLS only.
        proxies: addresses or networks whose X-Forwarded-For is believed; from others it is not.
        idle, longest: a session ends after this time without use, and after this time in total.
        owner: the account of single-user mode; None where people log in.
        prefetch_threads: threads that draw pictures before the first request; 0 for none.
    """

    cache: Path
    hosts: tuple[str, ...] = LOOPBACK
    https: bool = False
    proxies: tuple[str, ...] = ()
    idle: timedelta = field(default=timedelta(minutes=30))
    longest: timedelta = field(default=timedelta(hours=12))
    owner: str | None = None
    prefetch_threads: int = 1
