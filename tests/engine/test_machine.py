"""How many processes a machine has room for: cores, memory (its own, a container's, a job's) and graphics cards."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from cacapp.engine import machine

MB = 2**20


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without graphics cards and control groups, of 64 GB."""
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(machine, "GPU_DRIVERS", ())
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "fs")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 64_000 * MB}))


def group(place: Path, limit: str, used_mb: int, cached_mb: int = 0, *, version: int = 2) -> None:
    """Files of a control group, as Linux shows them."""
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    place.mkdir(parents=True, exist_ok=True)
    (place / names[0]).write_text(f"{limit}\n")
    (place / names[1]).write_text(f"{used_mb * MB}\n")
    word = "inactive_file" if version == 2 else "total_inactive_file"
    (place / "memory.stat").write_text(f"anon 1\n{word} {cached_mb * MB}\n")


@pytest.mark.parametrize(("cores", "free_mb", "expected"), [(1, 64_000, 1), (2, 64_000, 2), (64, 64_000, 15), (8, 500, 1), (8, 9000, 2)])
def test_a_process_for_each_core_as_far_as_memory_goes(monkeypatch: pytest.MonkeyPatch, cores: int, free_mb: int, expected: int) -> None:
    monkeypatch.setattr("dask.system.cpu_count", lambda: cores)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": free_mb * MB}))
    assert machine.processes() == expected


def test_a_graphics_card_is_for_one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dask.system.cpu_count", lambda: 8)
    assert machine.processes() == 8
    monkeypatch.setattr(machine, "GPU_DRIVERS", (str(tmp_path / "none"), str(tmp_path)))
    assert machine.processes() == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.processes() == 8
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert machine.processes() == 1
    monkeypatch.setattr(machine, "GPU_DRIVERS", ())
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    assert machine.processes() == 1


def test_a_container_reads_the_limit_of_its_own_control_group(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/\n")
    assert machine.free_mb() == 64_000
    group(tmp_path / "fs", "max", 100)
    assert machine.free_mb() == 64_000
    group(tmp_path / "fs", str(16_000 * MB), 15_000)
    assert machine.free_mb() == 1000
    group(tmp_path / "fs", str(16_000 * MB), 15_000, cached_mb=9000)  # files that would be given up
    assert machine.free_mb() == 10_000
    group(tmp_path / "fs", str(1000 * MB), 2000)
    assert machine.free_mb() == 0


def test_a_job_is_held_by_each_group_it_is_in(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/slurm/job_1/step_0\n")
    group(tmp_path / "fs/slurm", str(50_000 * MB), 10_000)
    group(tmp_path / "fs/slurm/job_1", str(16_000 * MB), 4000)
    group(tmp_path / "fs/slurm/job_1/step_0", "max", 4000)
    assert machine.free_mb() == 12_000


def test_groups_of_version_one(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("12:cpu,cpuacct:/a\n7:memory:/docker/abc\n1:name=systemd:/b\n")
    group(tmp_path / "fs/memory", str(2**63 - 4096), 30_000, version=1)
    group(tmp_path / "fs/memory/docker/abc", str(3000 * MB), 1000, 500, version=1)
    assert machine.free_mb() == 2500


def test_this_machine_has_room() -> None:
    """With its own files, whatever they say."""
    assert machine.processes() >= 1
