"""Benchmark of a run's cost by number of frames: 4, 16 and 64, with one and two workers, and on a Dask cluster of two local workers.

    python benchmarks/run_growth.py [--frames 4 16 64] [--side 1024] [--nuclei 60] [--slide FOLDER] [--segmenter NAME] [--prompter NAME]

Cost per frame and memory must stay constant; two workers must process 1.7 times the frames of one; ledger and database take at most 5 %
of a run without worker processes (with them they run in parallel to the frames). FOLDER: all its real frames instead of simulated ones.
More: --help.
Run it on an idle machine, since the load of other programs is included.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from sqlmodel import select

from cacapp.db.engine.session import open_database
from cacapp.db.tables import Run, RunFrame
from cacapp.simulation import write_slide
from cacapp.simulation.samples import SAMPLE_MODEL

PLAIN, ONE, TWO, DASK = "no --workers", "1 worker", "2 workers", "Dask, 2 workers"
WAYS = (PLAIN, ONE, TWO, DASK)


@dataclass(frozen=True)
class Measured:
    """Figures of one run.

    Attributes:
        wall_s: of the command, with the start of Python and of workers.
        steps_s: from the beginning to the end of its runs.
        frame_s: median time of a frame in both steps, from the ledger.
        overhead: share of ``steps_s`` outside frames: ledger, database, sums; None with worker processes.
        memory_mb: largest resident memory of the coordinator.
    """

    way: str
    frames: int
    wall_s: float
    steps_s: float
    frame_s: float
    overhead: float | None
    memory_mb: float


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--frames", type=int, nargs="+", default=[4, 16, 64])
    asked.add_argument("--side", type=int, default=1024, help="of a frame, px")
    asked.add_argument("--nuclei", type=int, default=60, help="in a frame")
    asked.add_argument("--slide", type=Path, help="folder of frames to use instead")
    asked.add_argument("--segmenter", default="coarse")
    asked.add_argument("--prompter", default="watershed")
    asked.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    asked.add_argument("--db", help="URL of an empty database to use for all runs, rather than a new SQLite file each")
    asked.add_argument("--out", type=Path, default=Path("run_growth.json"))
    args = asked.parse_args()
    found: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        slides = {} if args.slide is None else {len(list(args.slide.glob("*.tif*"))): args.slide}
        for frames in args.frames if args.slide is None else ():
            slide = slides[frames] = place / f"slide{frames}"
            kinds = {"normal": args.nuclei - 2, "cac": 2}
            size = {"height_px": args.side, "width_px": args.side, "nuclei": args.nuclei}
            write_slide(slide, SAMPLE_MODEL, frames=frames, seed=frames, kinds=[kinds] * frames, **size)
        cluster = _cluster(stack) if DASK in args.ways else ""
        options = {PLAIN: [], ONE: ["--workers", "1"], TWO: ["--workers", "2"], DASK: ["--cluster", cluster]}
        for frames, slide in slides.items():
            for way in args.ways:
                name = re.sub(r"\W+", "", way) + str(frames)
                db = args.db or str(place / f"{name}.db")
                measured = _run(way, slide, frames, db, name, [*options[way], "--segmenter", args.segmenter, "--prompter", args.prompter])
                found.append(measured)
                print(f"{way:16} {frames:3} frames: {measured.steps_s / frames:6.2f} s a frame, {measured.memory_mb:5.0f} MB", flush=True)
    args.out.write_text(json.dumps([asdict(m) for m in found], indent=1) + "\n")
    print(table(found))


def _run(way: str, slide: Path, frames: int, db: str, name: str, options: list[str]) -> Measured:
    who = ["--patient", name, "--slide", name, "--blood-volume-ul", "100", "--no-report", "--force"]
    words = [sys.executable, "-m", "cacapp", "run", str(slide), *who, *options, "--db", db, "--quiet"]
    start = time.perf_counter()
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    peak = _Peak(process.pid)
    _, err = process.communicate()
    wall_s = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{way}, {frames} frames: {err}")
    record = open_database(db)
    with record.reading() as session:
        runs = session.exec(select(Run).where(Run.status == "succeeded").order_by(Run.id.desc()).limit(2)).all()  # type: ignore[union-attr]
        steps_s = sum((r.finished_at - r.started_at).total_seconds() for r in runs if r.finished_at)
        ids = [r.id for r in runs]
        seconds: dict[int, float] = {}
        for line in session.exec(select(RunFrame).where(RunFrame.run_id.in_(ids))):  # type: ignore[attr-defined]
            seconds[line.frame_id] = seconds.get(line.frame_id, 0.0) + (line.seconds or 0.0)
    record.dispose()
    assert len(seconds) == frames
    overhead = None if peak.processes or way == DASK else 1 - sum(seconds.values()) / steps_s
    return Measured(way, frames, wall_s, steps_s, sorted(seconds.values())[frames // 2], overhead, peak.mb)


class _Peak:
    """Monitor of a process' largest memory, MB, and largest number of processes."""

    def __init__(self, pid: int) -> None:
        self.mb, self.processes = 0.0, 0
        threading.Thread(target=self._watch, args=(pid,), daemon=True).start()

    def _watch(self, pid: int) -> None:
        try:
            process = psutil.Process(pid)
            while True:
                self.mb = max(self.mb, process.memory_info().rss / 1e6)
                self.processes = max(self.processes, len(process.children()))
                time.sleep(0.1)
        except psutil.Error:
            return


def _cluster(stack: ExitStack) -> str:
    """Start a scheduler with two workers, which end with the stack; return its address."""

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=dict(os.environ))
        stack.callback(process.wait)
        stack.callback(process.terminate)
        return process

    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0")
    assert scheduler.stderr is not None
    address = next(m[0] for line in scheduler.stderr if (m := re.search(r"tcp://127[^\s,]+", line)))
    for _ in range(2):
        worker = start("worker", address, "--nthreads", "1", "--memory-limit", "0")
        assert worker.stderr is not None
        next(line for line in worker.stderr if "Registered to" in line)
    return address


def table(found: list[Measured]) -> str:
    """Return a Markdown table; "s per frame" is of segment and count, the whole command includes the start of Python and ingest."""
    one = {m.frames: m for m in found if m.way == ONE}
    times = f"times {ONE}"
    heads = ("", "frames", "s per frame", "frames per minute", times, "whole command, s", times, "ledger and database", "coordinator, MB")
    rows = [heads, ("---",) * len(heads)]
    for m in found:
        alone = one.get(m.frames)
        steps, command = (f"{alone.steps_s / m.steps_s:.2f}", f"{alone.wall_s / m.wall_s:.2f}") if alone else ("", "")
        overhead = "" if m.overhead is None else f"{m.overhead:.1%}"
        numbers = (f"{m.steps_s / m.frames:.2f}", f"{60 * m.frames / m.steps_s:.1f}", steps, f"{m.wall_s:.1f}", command)
        rows.append((m.way, str(m.frames), *numbers, overhead, f"{m.memory_mb:.0f}"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
