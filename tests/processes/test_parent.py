"""The parent's end: time is limited, a killed process takes with it what it started, and the reason of an end is named."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from cacapp.processes.child import ProtocolError
from cacapp.processes.parent import Child, EndedError


def started(code: str, *, keep_stderr: bool = True) -> Child:
    return Child([sys.executable, "-c", code], dict(os.environ), keep_stderr=keep_stderr)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 5)", "signal 39"),
    ],
)
def test_the_reason_why_a_process_ended_is_reported(code: str, reason: str) -> None:
    child = started(code)
    with pytest.raises(EndedError) as caught:
        child.receive()
    assert str(caught.value) == reason
    assert not caught.value.expired
    assert not child.alive


def test_the_last_line_it_printed_is_kept_and_no_more_than_its_beginning() -> None:
    child = started("import sys; sys.stderr.write('first\\n\\x1b[31m' + 'x' * 9000 + '\\n\\n'); sys.stderr.flush(); input()")
    with pytest.raises(EndedError) as caught, child.limit(1):
        child.receive()
    assert caught.value.expired
    assert set(caught.value.last_line) == {"x"}
    assert len(caught.value.last_line) <= 300


def test_a_process_over_its_time_limit_is_killed_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    inner = "import time; time.sleep(600)"
    code = (
        f"import subprocess, sys, time\np = subprocess.Popen([sys.executable, '-c', {inner!r}])\n"
        f"open({str(note)!r}, 'w').write(str(p.pid))\ntime.sleep(600)"
    )
    child = started(code)
    while not note.exists() or not note.read_text():
        time.sleep(0.02)
    with pytest.raises(EndedError), child.limit(0.2):
        child.receive()
    pid, deadline = int(note.read_text()), time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_within_the_limit_nothing_is_killed() -> None:
    child = started("import time; time.sleep(600)")
    with child.limit(0.2):
        pass
    time.sleep(0.4)
    assert child.alive
    child.kill()
    assert not child.alive
    child.kill()


def test_random_bytes_are_not_a_message() -> None:
    child = started("print('a banner of a library, longer than a header')", keep_stderr=False)
    with pytest.raises(ProtocolError, match="a message begins with"):
        child.receive()
    child.kill()
