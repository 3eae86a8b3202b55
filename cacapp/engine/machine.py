"""What this machine has room for: how many processes may work on frames at once, and with how many threads each."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import psutil

WORKER_MB = 4096
"""What a process may take: as much as the contract suite (``cacapp.testing``) lets an algorithm take for a frame of full size."""

GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Where a driver's device file shows that there is a graphics card that torch may use: NVIDIA, AMD, Windows' subsystem for Linux."""

CGROUP = Path("/sys/fs/cgroup")


def processes_and_threads() -> tuple[int, int]:
    """How many processes are to work at once where nobody says so, and the threads of each.

    One for each core, as far as memory goes; where it does not, they share the cores that are left. Only one where there is a graphics
    card: its memory is not known here, and every process would take a share of it.
    """
    from dask.system import cpu_count  # knows of affinity and of a container's share

    cores = max(1, int(cpu_count()))
    workers = 1 if has_gpu() else max(1, min(cores, free_mb() // WORKER_MB))
    return workers, cores // workers


def free_mb() -> int:
    """Memory that processes may take without others being pushed out, MB: the machine's, or a container's where that has less."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # there is no such file, or it says "max"
        free = min(free, int((CGROUP / "memory.max").read_text()))
    return free // 2**20


def has_gpu() -> bool:
    """Whether torch may find a graphics card, told without loading torch."""
    return sys.platform == "darwin" or any(Path(device).exists() for device in GPUS)
