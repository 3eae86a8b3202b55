"""The command line as a process of its own, on a slide of twelve small frames."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "cacapp")
FRAMES = 12


def command(slide: Path) -> list[str]:
    who = ["--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100"]
    # a frame whose worker is killed again and again would be quarantined, as it should be
    return ["run", str(slide), *who, "--segmenter", "coarse", "--no-report", "--workers", "2", "--retries", "99"]


def start(url: str, *words: str, background: bool = False) -> subprocess.Popen[bytes]:
    """Start a command; ``background``: with SIGINT ignored, as shells start what a script ends with "&"."""
    return subprocess.Popen(
        [*PROGRAM, *words],
        cwd=CHECKOUT,
        env=os.environ | {"CACAPP_DB": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=_ignore_sigint if background else None,
    )


def _ignore_sigint() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *words], cwd=CHECKOUT, env=os.environ | {"CACAPP_DB": url}, capture_output=True, text=True)
