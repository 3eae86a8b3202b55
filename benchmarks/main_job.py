"""Benchmark of a complete run as one table: accuracy, time compared with the plain reference, memory, start-up, database.

    python benchmarks/main_job.py SHARED [--frames 4] [--seed 7] [--work .bench] [--yardstick-python PYTHON]

SHARED contains bench/semireal.py, bench/score.py, bench/reference.py and data/dsb2018_fluo_dev. Frames are made once in the work
folder; the reference and cacapp run one after the other on the same frames. Times are of whole processes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

CACAPP = [sys.executable, "-m", "cacapp"]
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Finished:
    """Finished process: wall time in s, largest resident memory in MB, output."""

    seconds: float
    memory_mb: float
    output: str


def run(command: list[str], **env: str) -> Finished:
    """Run a command; if it fails, end the benchmark with its output."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | env)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    return Finished(time.perf_counter() - start, usage.ru_maxrss / 1024, output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--optics", action="append", default=[], metavar="NAME=VALUE", help="passed to semireal.py as --set")
    parser.add_argument("--work", type=Path, default=Path(".bench"))
    parser.add_argument("--yardstick-python", default=sys.executable, help="Python with scikit-image, for the reference")
    a = parser.parse_args()
    bench, data = a.shared / "bench", a.shared / "data" / "dsb2018_fluo_dev"
    if not (bench / "semireal.py").exists():
        raise SystemExit(f"no yardsticks under {a.shared}: give the folder that holds bench/ and data/")
    python = [a.yardstick_python]
    slug = re.sub(r"[^A-Za-z0-9._=-]", "_", "-".join([f"seed{a.seed}", f"frames{a.frames}", *sorted(a.optics)]))
    frames = a.work / slug
    if not (frames / "truth.csv").exists():
        optics = [part for text in a.optics for part in ("--set", text)]
        run([*python, str(bench / "semireal.py"), str(data), str(frames), "--frames", str(a.frames), "--seed", str(a.seed), *optics])
    out = a.work / "out"
    shutil.rmtree(out, ignore_errors=True)
    reference = run([*python, str(bench / "reference.py"), "frames", str(frames), str(out / "reference")])
    db = str(out / "cacapp.db")
    job = ["run", str(frames), "--patient", "P", "--slide", "S", "--blood-volume-ul", "100", "--no-report", "--quiet", "--db", db]
    ours = run([*CACAPP, *job])
    run([*CACAPP, "export", str(out / "ours"), "--db", db, "--quiet"])
    scores = {
        name: json.loads(run([*python, str(bench / "score.py"), "cells", str(frames), str(out / folder)]).output)
        for name, folder in (("reference", "reference"), ("cacapp", "ours"))
    }
    help_seconds = sorted(run([*CACAPP, "--help"]).seconds for _ in range(5))[2]
    rows = run([sys.executable, str(HERE / "database.py"), "--cells", "100000", "--json"]).output
    database = json.loads(rows[rows.index("{") :])
    show(a.frames, reference, ours, scores, help_seconds, database)


def show(frames: int, reference: Finished, ours: Finished, scores: dict, help_seconds: float, database: dict) -> None:  # type: ignore[type-arg]
    """Print the table: each figure, that of the reference, and the limit."""
    table = Table(title="The main job", title_justify="left")
    for column in ("what", "cacapp", "reference", "limit", ""):
        table.add_column(column, justify="left" if column == "what" else "right")

    def row(what: str, value: float, other: float | None, limit: float, at_least: bool, form: str = ".3f") -> None:
        good = value >= limit if at_least else value <= limit
        sign = "≥" if at_least else "≤"
        table.add_row(what, f"{value:{form}}", "" if other is None else f"{other:{form}}", f"{sign} {limit:g}", "ok" if good else "MISSED")

    new, old = scores["cacapp"], scores["reference"]
    row("nuclei AP@0.5", new["AP@0.5"], old["AP@0.5"], 0.85, True)
    row("exact counts, mean of probes", new["exact_count_mean"], old["exact_count_mean"], 0.97, True)
    row("CAC sensitivity", new["cac_sensitivity"], old["cac_sensitivity"], 0.95, True)
    row("false CACs per 10,000 normal", new["false_cac_per_10k_normal"], old["false_cac_per_10k_normal"], 30, False, ".1f")
    row("share of cells to review or not evaluable", new["review_share"], old["review_share"], 0.08, False)
    row(
        "seconds per frame, whole process",
        ours.seconds / frames,
        reference.seconds / frames,
        0.15 * reference.seconds / frames,
        False,
        ".2f",
    )
    row("time over the reference's", ours.seconds / reference.seconds, None, 0.15, False)
    row("peak memory, MB", ours.memory_mb, reference.memory_mb, 1500, False, ".0f")
    row("cacapp --help, s (median of 5)", help_seconds, None, 0.5, False, ".2f")
    row("100,000 cells, 800,000 signals written, s", database["write_seconds"], None, 30, False, ".1f")
    row("patients on them, s", database["patients_seconds"], None, 0.1, False, ".4f")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
