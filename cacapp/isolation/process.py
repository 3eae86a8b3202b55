"""The parent's side: a child process that is asked, one question at a time, and killed where it takes too long or talks nonsense."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from cacapp.exceptions import CacappError, UsageError
from cacapp.isolation import child
from cacapp.types import Array

Process = subprocess.Popen[bytes]

START_S = 120.0
"""What a child may take to start and to load what it serves, s."""

PRIVATE = ("CACAPP_DB", "PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE")
"""Of the environment, what a child is not told."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child gets.

    Attributes:
        python: its interpreter; None: this one.
        timeout_s: a question that takes longer fails, and the child with it, s; None: it may take as long as it likes.
        memory_mb: memory it may write to, MB; None: no bound. Held on Linux.
    """

    python: str | None = None
    timeout_s: float | None = None
    memory_mb: int | None = None


class ChildProcess:
    """A process that serves ``target`` over the wire protocol (docs/plugin-protocol.md); started when first asked, and again after a crash.

    Args:
        target: a Python file, or the name of a module, with a function ``handlers``.
        arguments: for that function.
    """

    def __init__(self, target: str, arguments: Sequence[str] = (), limits: Limits = Limits()) -> None:
        self._target, self._arguments, self._limits = target, tuple(arguments), limits
        self._process: Process | None = None
        self._said: deque[str] = deque(maxlen=20)
        self._expired = False
        self._lock = threading.Lock()

    def ask(
        self, op: str, meta: Mapping[str, Any] | None = None, arrays: Mapping[str, Array] | None = None, at_most: int = 2**26
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """The child's answer: JSON values and arrays, checked for nothing but being such.

        Args:
            op: the operation.
            at_most: bytes that the answer's arrays may have.

        Raises:
            UsageError, CacappError: what the child said was wrong, or what became of it.
        """
        with self._lock:
            process = self._started()
            return self._answer(process, {"op": op, "meta": dict(meta or {})}, arrays or {}, at_most, self._limits.timeout_s)

    def close(self) -> None:
        """Kills the child and what it started."""
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            process.wait()

    def _started(self) -> Process:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        python = self._limits.python or sys.executable
        memory = ["--memory-mb", str(self._limits.memory_mb)] if self._limits.memory_mb else []
        environment = {name: value for name, value in os.environ.items() if name not in PRIVATE and name != "PYTHONPATH"}
        if self._limits.python is None:
            environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        try:
            process = subprocess.Popen(
                [python, str(Path(child.__file__)), *memory, self._target, *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(f"python {python} cannot be started: {error.strerror or error}") from error
        self._said = deque(maxlen=20)
        threading.Thread(target=_listen, args=(process.stderr, self._said), daemon=True).start()
        self._process = process
        self._answer(process, None, {}, 0, START_S)
        return process

    def _answer(
        self, process: Process, request: dict[str, Any] | None, arrays: Mapping[str, Array], at_most: int, seconds: float | None
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        self._expired = False
        timer = None if seconds is None else threading.Timer(seconds, self._expire, [process])
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            if request is not None:
                child.write_message(cast(BinaryIO, process.stdin), request, arrays)
            header, found = child.read_message(cast(BinaryIO, process.stdout), at_most)
        except (EOFError, OSError, ValueError) as error:
            raise CacappError(self._why(process, seconds)) from error
        except child.ProtocolError as error:
            self.close()
            raise CacappError(f"its process answered with {error}") from error
        except BaseException:
            self.close()  # the answer of a question that was given up must not be taken for the next one's
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if header.get("ok") is not True:
            line = " ".join(str(header.get("line") or "gave no reason").split())[:2000]
            raise (UsageError if header.get("kind") == "usage" else CacappError)(line)
        meta = header.get("meta")
        if not isinstance(meta, dict):
            self.close()
            raise CacappError("its process answered without meta")
        return meta, found

    def _expire(self, process: Process) -> None:
        self._expired = True
        _kill(process)

    def _why(self, process: Process, seconds: float | None) -> str:
        """What became of a child that does not answer."""
        _kill(process)
        code = process.wait()
        said, expired = list(self._said), self._expired
        self.close()
        if expired:
            return f"took longer than {seconds:g} s and was stopped"
        name = f"exit code {code}"
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        last = next((line for line in reversed(said) if line), "")
        return f"its process was killed or crashed ({name}){f'; it last said: {last}' if last else ''}"


def _kill(process: Process) -> None:
    """Ends the process with all of its group."""
    with suppress(OSError):
        if os.name == "posix" and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(OSError):
        process.kill()


def _listen(pipe: IO[bytes], said: deque[str]) -> None:
    """Keeps the last lines, and no more than a line's beginning: what a child prints must fill neither memory nor disk."""
    with suppress(OSError, ValueError):
        while line := pipe.readline(4096):
            said.append("".join(c for c in line.decode("utf-8", "replace").strip() if c.isprintable())[:300])
