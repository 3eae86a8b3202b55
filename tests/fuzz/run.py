"""Thousands of damaged image files, each through ingest and reading in a process that may die of it.

``python -m tests.fuzz.run --files 5000`` prints what became of them and leaves with 1 where a file did harm.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.fuzz.bombs import bombs
from tests.fuzz.mutations import kinds_for
from tests.fuzz.originals import WRITERS

HANG_S = 10
PATIENCE_S = 120
"""Time after which a worker that uses no processor time is stopped, on a busy machine."""
MEMORY_MB = 2048
BATCH = 250
Case = dict[str, Any]


def cases(files: int, seed: int) -> list[Case]:
    """``files`` cases: every bomb, every mutation of every format, and as many more as are left."""
    draw = random.Random(seed)
    found: list[Case] = [{"bomb": name} for name in bombs("")]
    pairs = [(name, kind) for name in WRITERS for kind in kinds_for(name)]
    draw.shuffle(pairs)
    while len(found) < files:
        found += [{"original": name, "kind": kind, "seed": draw.randrange(2**32)} for name, kind in pairs[: files - len(found)]]
    found = found[:files]
    draw.shuffle(found)
    return [{"number": i, **case} for i, case in enumerate(found)]


class Worker:
    """A process that judges cases."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False, bufsize=0
        )
        self._rest = b""
        assert self._line(PATIENCE_S) is not None, "the worker does not start"

    def judge(self, case: Case) -> Case:
        """Its outcome; ``killed`` or ``hang`` where the process did not live to tell."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(case).encode() + b"\n")
        assert self._line(PATIENCE_S) is not None
        start, cpu = time.monotonic(), self._cpu()
        while True:
            line = self._line(0.5)
            if line is not None:
                return dict(json.loads(line))
            spent = self._cpu() - cpu
            if self.process.poll() is not None:
                return {
                    **case,
                    "outcome": "killed",
                    "lines": [f"exit code {self.process.returncode}"],
                    "cpu_s": spent,
                    "peak_mb": 0,
                    "noise": "",
                }
            if spent > HANG_S or time.monotonic() - start > PATIENCE_S:
                self.process.kill()
                self.process.wait()
                return {**case, "outcome": "hang", "lines": [], "cpu_s": spent, "peak_mb": 0, "noise": ""}

    def _line(self, timeout: float) -> bytes | None:
        assert self.process.stdout is not None
        end = time.monotonic() + timeout
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            read = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not read:
                return None
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _cpu(self) -> float:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


def judged(batch: Sequence[Case]) -> Iterator[Case]:
    worker: Worker | None = None
    for case in batch:
        worker = worker or Worker()
        result = worker.judge(case)
        yield result
        if worker.process.poll() is not None:
            worker = None
    if worker is not None:
        worker.stop()


def harm(one: Case) -> str | None:
    """What is wrong with an outcome, None where nothing is; see docs/fuzzing.md for what a wrong acceptance is."""
    if one["outcome"] in ("crash", "killed", "hang", "ran", "nothing"):
        return str(one["outcome"])
    if one["cpu_s"] > HANG_S:
        return "hang"
    if one["peak_mb"] > MEMORY_MB or any("MemoryError" in line or "llocat" in line for line in one["lines"]):
        return "memory"
    if one["outcome"] == "other":
        return "wrong acceptance"
    if one["noise"]:
        return "noise"
    if any("\n" in line for line in one["lines"]):
        return "more than a line"
    return None


def run(files: int, seed: int, workers: int) -> list[Case]:
    """The outcomes of ``files`` cases, in order."""
    todo = cases(files, seed)
    batches = [todo[i : i + BATCH] for i in range(0, len(todo), BATCH)]
    with ThreadPoolExecutor(workers) as pool:
        return [one for found in pool.map(lambda batch: list(judged(batch)), batches) for one in found]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=5000)
    options.add_argument("--seed", type=int, default=20250101)
    options.add_argument("--workers", type=int, default=1)
    options.add_argument("--json", type=Path, help="file for every outcome")
    given = options.parse_args()
    start = time.monotonic()
    found = run(given.files, given.seed, given.workers)
    if given.json:
        given.json.write_text("\n".join(map(json.dumps, found)))
    for outcome, n in Counter(one["outcome"] for one in found).most_common():
        print(f"{n:6} {outcome}")
    harms = [(what, one) for one in found if (what := harm(one)) is not None]
    print(f"{len(found)} files in {time.monotonic() - start:.0f} s; most memory {max(one['peak_mb'] for one in found)} MB, ", end="")
    print(f"most time {max(one['cpu_s'] for one in found):.1f} s; {len(harms)} did harm")
    for what, n in Counter(what for what, _ in harms).most_common():
        print(f"{n:6} {what}")
    for what, one in harms[:40]:
        print(what, json.dumps({k: v for k, v in one.items() if k not in ("noise",)}, ensure_ascii=False)[:400], one["noise"][:200].strip())
    return 1 if harms else 0


if __name__ == "__main__":
    sys.exit(main())
