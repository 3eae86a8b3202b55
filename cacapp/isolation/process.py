"""The parent's side: a child process that answers one question at a time, and is killed where it takes too long or breaks the protocol."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cacapp.exceptions import CacappError, UsageError
from cacapp.processes import child
from cacapp.processes.parent import START_S, Child, EndedError, import_paths
from cacapp.types import Array

PRIVATE = ("CACAPP_DB", "PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE")
"""Environment variables that a child does not get."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The interpreter and the limits of a child.

    Attributes:
        python: its interpreter; None: this one.
        timeout_s: a question that takes longer fails, and the child is killed, s; None: no limit.
        memory_mb: memory it may write to, MB; None: no limit. Works on Linux.
    """

    python: str | None = None
    timeout_s: float | None = None
    memory_mb: int | None = None


class ChildProcess:
    """A process that serves ``target`` over the wire protocol (docs/plugin-protocol.md); started when first asked, and after a crash.

    Args:
        target: a Python file, or the name of a module, with a function ``handlers``.
        arguments: for that function.
    """

    def __init__(self, target: str, arguments: Sequence[str] = (), limits: Limits = Limits()) -> None:
        self._target, self._arguments, self._limits = target, tuple(arguments), limits
        self._child: Child | None = None
        self._lock = threading.Lock()

    def ask(
        self, op: str, meta: Mapping[str, Any] | None = None, arrays: Mapping[str, Array] | None = None, at_most: int = 2**26
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return the child's answer: JSON values and arrays, which may have any names, dtypes and shapes.

        Args:
            op: the operation.
            at_most: bytes that the answer's arrays may have.

        Raises:
            UsageError, CacappError: the child reported an error, took too long, crashed or answered with no message.
        """
        with self._lock:
            running = self._started()
            return self._answer(running, {"op": op, "meta": dict(meta or {})}, arrays or {}, at_most, self._limits.timeout_s)

    def close(self) -> None:
        """Kill the child and what it started."""
        ended, self._child = self._child, None
        if ended is not None:
            ended.kill()

    def _started(self) -> Child:
        if self._child is not None and self._child.alive:
            return self._child
        self.close()
        python = self._limits.python or sys.executable
        memory = ["--memory-mb", str(self._limits.memory_mb)] if self._limits.memory_mb else []
        environment = {name: value for name, value in os.environ.items() if name not in PRIVATE and name != "PYTHONPATH"}
        if self._limits.python is None:
            environment |= import_paths()
        command = [python, str(Path(child.__file__)), *memory, self._target, *self._arguments]
        try:
            self._child = Child(command, environment, keep_stderr=True)
        except OSError as error:
            raise UsageError(f"python {python} cannot be started: {error.strerror or error}") from error
        self._answer(self._child, None, {}, 0, START_S)
        return self._child

    def _answer(
        self, running: Child, request: dict[str, Any] | None, arrays: Mapping[str, Array], at_most: int, seconds: float | None
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return the answer to a request; of a child that has just started, its first message."""
        try:
            with running.limit(seconds):
                if request is not None:
                    running.send(request, arrays)
                header, found = running.receive(at_most)
        except EndedError as ended:
            self.close()
            if ended.expired:
                raise CacappError(f"took longer than {seconds:g} s and was stopped") from ended
            last = f"; it last said: {ended.last_line}" if ended.last_line else ""
            raise CacappError(f"its process was killed or crashed ({ended}){last}") from ended
        except child.ProtocolError as error:
            self.close()
            raise CacappError(f"its process answered with {error}") from error
        except BaseException:
            self.close()  # a late answer must not be taken for that of the next request
            raise
        if header.get("ok") is not True:
            line = " ".join(str(header.get("line") or "gave no reason").split())[:2000]
            raise (UsageError if header.get("kind") == "usage" else CacappError)(line)
        meta = header.get("meta")
        if not isinstance(meta, dict):
            self.close()
            raise CacappError("its process answered without meta")
        return meta, found
