"""Guarded calls by kind, and the memory that a call takes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cacapp import host as guard
from cacapp.api import Algorithm

GUARDED: Mapping[str, Callable[..., Any]] = {
    "prompter": guard.prompt,
    "segmenter": guard.segment,
    "filter": guard.judge,
    "signal-detector": guard.detect,
}
METHOD: Mapping[str, str] = {"prompter": "prompt", "segmenter": "segment", "filter": "judge", "signal-detector": "detect"}


def measured(kind: str, algorithm: Algorithm, arguments: tuple[Any, ...]) -> tuple[Any, int]:
    """Return the guarded result and the peak memory of this process so far, MB. Runs in a worker process."""
    return GUARDED[kind](algorithm, *arguments), peak_mb()


def peak_mb() -> int:
    """Return the largest resident memory of this process so far, MB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would tell that of the process this one came from, where that was larger
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) // 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak // 2**20 if sys.platform == "darwin" else peak // 1024)


@contextmanager
def one_thread() -> Iterator[None]:
    """Give torch one thread, as in a worker: sums over more threads are added in another order, which moves the last bits."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else 0
    if torch is not None:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(threads)
