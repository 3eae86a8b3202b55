"""How many processes this machine has room for, and cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

WORKER_MB = 4096
"""What a process may take: as much as the contract suite (``cacapp.testing``) lets an algorithm take for a frame of full size."""

GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "C:/Windows/System32/nvcuda.dll")
"""What shows that there is a graphics card torch may use: NVIDIA's driver, AMD's, that of Windows' Linux, NVIDIA's on Windows."""

OWN_CGROUPS = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def processes() -> int:
    """How many processes, of one thread each, are to work at once where nobody says so.

    One for each core, as far as memory goes. Only one where there is a graphics card: its memory is not known here, and every process
    would take a share of it.
    """
    return 1 if has_gpu() else max(1, min(cores(), free_mb() // WORKER_MB))


def cores() -> int:
    """How many this process may use: of the machine, less what affinity or a container withholds."""
    from dask.system import cpu_count

    return int(cpu_count())


def free_mb() -> int:
    """Memory that processes may take without others being pushed out, MB: the machine's, or a container's or job's where that has less."""
    free = int(psutil.virtual_memory().available)
    return max(0, min([free, *_left_in_cgroups()])) // 2**20


def has_gpu() -> bool:
    """Return whether torch may find a graphics card, without loading torch."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return sys.platform == "darwin" or any(Path(driver).exists() for driver in GPU_DRIVERS)


def _left_in_cgroups() -> Iterator[int]:
    """What the groups this process is in, one inside the other, may still take, bytes (Linux control groups, versions 1 and 2)."""
    try:
        lines = [line.split(":", 2) for line in OWN_CGROUPS.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in lines:
        if controllers == "":
            root, limit, used = CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, used = CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        for place in (group, *group.parents):
            if place.is_relative_to(root):
                try:
                    yield int((place / limit).read_text()) - int((place / used).read_text()) + _cached(place)
                except (OSError, ValueError):  # the root has none, and no limit is the word "max"
                    continue


def _cached(group: Path) -> int:
    """Bytes of files that a group holds and would give up."""
    words = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return int(words.get("total_inactive_file", words.get("inactive_file", 0)))
