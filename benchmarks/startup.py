"""Benchmark of the start of cacapp: times of short commands, compared with a bare interpreter.

    python benchmarks/startup.py [--times 7] [--json]

Each line: wall time in s (least and median) and processor time in s (least, user and system; also valid on a busy machine).
The commands: help, patients of an empty database, and making that database.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import psutil

CACAPP = [sys.executable, "-m", "cacapp"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "cacapp.db"
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "cacapp --help": [*CACAPP, "--help"],
            "cacapp db upgrade": [*CACAPP, "db", "upgrade", "--db", str(database)],
            "cacapp patients": [*CACAPP, "patients", "--db", str(database)],
        }
        found = {name: measure(command, database, a.times) for name, command in commands.items()}
    if a.json:
        print(json.dumps(found))
        return
    print(f"{'':20}{'least, s':>10}{'median, s':>11}{'CPU, s':>9}")
    for name, seconds in found.items():
        print(f"{name:20}{seconds['least']:10.2f}{seconds['median']:11.2f}{seconds['cpu']:9.2f}")


def measure(command: list[str], database: Path, times: int) -> dict[str, float]:
    """Run a command several times; return its least and median wall time and its least processor time, in s."""
    walls, cpus = [], []
    for _ in range(times):
        if "upgrade" in command:
            database.unlink(missing_ok=True)
        start, before = perf_counter(), psutil.Process().cpu_times()
        subprocess.run(command, capture_output=True, check=True)
        after = psutil.Process().cpu_times()
        walls.append(perf_counter() - start)
        cpus.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return {"least": min(walls), "median": statistics.median(walls), "cpu": min(cpus)}


if __name__ == "__main__":
    main()
