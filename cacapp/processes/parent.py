"""The parent's end of a child process: start it, write and read messages, limit the time, kill it with all it started, say why it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, BinaryIO, cast

from cacapp.processes import child
from cacapp.types import Array

START_S = 120.0
"""Time that a child may take to start and to load what it serves, s."""


class EndedError(Exception):
    """A child process that ended before it answered.

    Attributes:
        code: its exit code; -N where signal N ended it.
        expired: it was killed because it took longer than allowed.
        last_line: the last line it printed, where its standard error is kept.
    """

    def __init__(self, code: int, expired: bool, last_line: str) -> None:
        self.code, self.expired, self.last_line = code, expired, last_line
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        super().__init__(name if code < 0 else f"exit code {code}")


class Child:
    """A running child process, the leader of a process group of its own.

    Args:
        command: program and arguments.
        environment: its environment variables.
        keep_stderr: keep the last lines of its standard error for ``EndedError``; False: it prints where this process prints.

    Raises:
        OSError: the program cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, keep_stderr: bool) -> None:
        own_group: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {"creationflags": 0x00000200}
        stderr = subprocess.PIPE if keep_stderr else None
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=dict(environment), **own_group
        )
        self._requests, self._answers = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)
        self._expired = False
        self._last_lines: deque[str] = deque(maxlen=20)
        if self._process.stderr is not None:
            threading.Thread(target=_keep_lines, args=(self._process.stderr, self._last_lines), daemon=True).start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, header: dict[str, Any], arrays: Mapping[str, Array] | None = None) -> None:
        """Write a message. Raises EndedError."""
        try:
            child.write_message(self._requests, header, arrays)
        except (OSError, ValueError) as error:
            raise self._ended() from error

    def receive(self, at_most: int | None = None) -> tuple[dict[str, Any], dict[str, Array]]:
        """Read a message: header and arrays.

        Args:
            at_most: bytes that its arrays may have; None: any number.

        Raises:
            EndedError: the process ended.
            ProtocolError: what came is no message, or is too large. The process should be killed.
        """
        try:
            return child.read_message(self._answers, at_most)
        except (EOFError, OSError, ValueError) as error:  # ValueError: killed by another thread, which closes the pipes
            raise self._ended() from error

    @contextmanager
    def limit(self, seconds: float | None) -> Iterator[None]:
        """Kill the process if the body takes longer than ``seconds``; None: no limit."""
        if seconds is None:
            yield
            return
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def kill(self) -> None:
        """Kill the process and all of its group, and wait for its end."""
        self._signal()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()
        self._process.wait()

    def _expire(self) -> None:
        self._expired = True
        self._signal()

    def _signal(self) -> None:
        with suppress(OSError):
            if os.name == "posix" and self._process.poll() is None:
                os.killpg(self.pid, signal.SIGKILL)
        with suppress(OSError):
            self._process.kill()

    def _ended(self) -> EndedError:
        self._signal()
        code = self._process.wait()
        last_line = next((line for line in reversed(list(self._last_lines)) if line), "")
        self.kill()
        return EndedError(code, self._expired, last_line)


def import_paths() -> dict[str, str]:
    """Return the environment variable that lets a child of this interpreter import what can be imported here."""
    return {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def _keep_lines(pipe: IO[bytes], lines: deque[str]) -> None:
    """Keep the last lines, and of each only its beginning: what a child prints must fill neither memory nor disk."""
    with suppress(OSError, ValueError):
        while line := pipe.readline(4096):
            lines.append("".join(c for c in line.decode("utf-8", "replace").strip() if c.isprintable())[:300])
