"""Load test of `cacapp review`: a slide with many cells and simultaneous reviewers, on this computer alone.

Prints medians and 95th percentiles of the worklist, the first gallery screen (page and pictures, six requests at a time), the next picture
and a decision, and whether a review was lost or doubled; exit code 1 if one was, a request failed or a median is over its limit.
With --locked another program locks the database in the middle, and --pdfs are asked for at that moment, while three viewers read page after
page: then no request but the writes may take longer than a second, and each PDF has to come, once.
Locust needs another urllib3 than cacapp's image readers, so it needs a separate environment. Run it on an idle machine:

    python -m venv .venv-load && .venv-load/bin/pip install locust
    python benchmarks/review_load.py --cells 20000 --frames 40 --reviewers 10 --seconds 300 --with-run
    python benchmarks/review_load.py --cells 20000 --frames 40 --reviewers 10 --seconds 300 --with-run --locked 40 --pdfs 16
"""

from __future__ import annotations

import argparse
import html
import json
import os
import random
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

PASSWORD = "four words for a load"  # noqa: S105 - of accounts in a temporary database
HEIGHT, WIDTH, DIAMETER = 2064, 1800, 70
FIRST_SCREEN, AT_ONCE = 40, 6
LONGEST_READ_MS = 1000
VIEWERS, PRINTERS = 3, 2
WRITES = ("decision", "/login", "first screen")
"""Requests that may wait for the database, and a screen, which is many requests."""

LIMITS_MS = {"worklist": 200, "first screen": 500, "next picture": 100}
PROGRAM = (sys.executable, "-m", "cacapp")

if "locust" in sys.modules:  # this file is also the locustfile; gevent must be imported first
    import gevent.pool
    from locust import FastHttpUser, constant, events, task

    names: Iterator[int] = iter(range(10_000))
    numbers: Iterator[int] = iter(range(10_000))

    class Watcher(FastHttpUser):
        """Simulated viewer: reads page after page, and decides nothing."""

        wait_time = constant(0.2)
        fixed_count = int(os.environ["LOAD_VIEWERS"])
        abstract = fixed_count == 0

        def on_start(self) -> None:
            _log_in(self.client, f"viewer{next(names) % VIEWERS}")

        @task
        def read(self) -> None:
            for url in ("/healthz", "/login", "/static/review.js", "/", "/slides/1", "/patients/1", "/frames/1", "/account"):
                self.client.get(url, name=f"read {url}")
            column, row = random.randrange(4), random.randrange(4)  # noqa: S311
            self.client.get(f"/frames/1/tiles/3/{column}/{row}.webp?channels=DAPI,red", name="read tile")

    class Reviewer(FastHttpUser):
        """Simulated reviewer: opens the worklist and the gallery, and decides cells of a separate share, sometimes one that all decide."""

        wait_time = constant(1)

        def on_start(self) -> None:
            self.number = next(numbers)
            self.share = int(os.environ["LOAD_REVIEWERS"])
            self.log = Path(os.environ["LOAD_LOG"])
            self.csrf = _log_in(self.client, f"reviewer{self.number}")
            self.seen: dict[int, int] = {}

        @task(1)
        def worklist(self) -> None:
            self.client.get("/", name="worklist")

        @task(2)
        def gallery(self) -> None:
            started = time.perf_counter()
            page = self.client.get("/slides/1", name="gallery page").text
            pictures = list(dict.fromkeys(re.findall(r'data-picture="([^"]+)"', page)[:FIRST_SCREEN]))
            pool = gevent.pool.Pool(AT_ONCE)
            pool.map(lambda url: self.client.get(html.unescape(url), name="pictures"), pictures)
            spent = 1000 * (time.perf_counter() - started)
            self.environment.events.request.fire(
                request_type="SCREEN", name="first screen", response_time=spent, response_length=len(pictures), exception=None, context={}
            )
            self.cells = [int(n) for n in re.findall(r'<article class="card[^>]*data-cell="(\d+)"', page)]

        @task(6)
        def decide(self) -> None:
            cells = getattr(self, "cells", [])
            own = [c for c in cells if c % self.share == self.number % self.share]
            if not own:
                return
            everyones = random.random() < 0.1  # noqa: S311
            cell = cells[0] if everyones else random.choice(own)  # noqa: S311
            part = self.client.get(f"/cells/{cell}", headers={"X-Part": "cell"}, name="cell").text
            self.client.get(html.unescape(_found(r'data-picture="([^"]+)"', part)), name="next picture")
            key = uuid.uuid4().hex
            body = {
                "kind": "accept",
                "run_id": int(_found(r"&#34;run&#34;:(\d+)", part)),
                "seen": int(_found(r"&#34;seen&#34;:(\d+)", part)),
                "key": key,
            }
            sent = self.client.post(
                f"/cells/{cell}/reviews", json=body, headers={"X-CSRF-Token": self.csrf}, name="decision", catch_response=True
            )
            with sent as answer:
                if answer.status_code == 200:
                    with self.log.open("a") as log:
                        log.write(f"{key}\n")
                    answer.success()
                elif answer.status_code == 409 and cell == cells[0]:  # another reviewer was faster, and this one gets a conflict
                    answer.success()

    @events.request.add_listener
    def failed(name: str, exception: BaseException | None, response_time: float, **_: object) -> None:
        """Log each failure with its text and time, for comparison with the log of the server."""
        if exception is not None:
            with Path(os.environ["LOAD_FAILED"]).open("a") as log:
                log.write(f"{time.strftime('%H:%M:%S')} {name} after {response_time:.0f} ms: {exception!r}\n")

    def _log_in(client, name: str) -> str:  # type: ignore[no-untyped-def]
        """Log in; return the token that forms carry."""
        form = {
            "name": name,
            "password": PASSWORD,
            "csrf_token": _found(r'name="csrf_token" value="([^"]+)"', client.get("/login").text),
        }
        return _found(r'name="csrf" content="([0-9a-f]+)"', client.post("/login", data=form).text)

    def _found(pattern: str, text: str) -> str:
        match = re.search(pattern, text)
        return match[1] if match else "0"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--reviewers", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--with-run", action="store_true", help="execute a cacapp run on another slide at the same time")
    parser.add_argument("--locked", type=int, default=0, help="seconds for which another program locks the database in the middle")
    parser.add_argument("--pdfs", type=int, default=0, help="PDFs asked for when the lock begins")
    parser.add_argument("--locust-python", type=Path, default=Path(".venv-load/bin/python"), help="Python with locust")
    asked = parser.parse_args()
    from review_trouble import Trouble

    if not asked.locust_python.is_file():
        parser.error(f"{asked.locust_python} not found: python -m venv .venv-load && .venv-load/bin/pip install locust")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        db = fill(folder, asked.cells, asked.frames, asked.reviewers)
        with server(folder, db) as url, worker(folder, db, asked.with_run):
            trouble = Trouble(db, url, asked.seconds, asked.locked, asked.pdfs, [f"printer{n}" for n in range(PRINTERS)], PASSWORD)
            trouble.start()
            load(folder, url, asked.reviewers, asked.seconds, asked.locust_python, viewers=VIEWERS if asked.locked or asked.pdfs else 0)
            trouble.join()
        return max(report(folder, db, limit_reads=bool(asked.locked or asked.pdfs)), trouble.report())


def fill(folder: Path, cells: int, frames: int, reviewers: int) -> Path:
    """Make a database with one slide of this many cells, called as by a count run; return its path."""
    import numpy as np
    import tifffile

    from cacapp.db.engine.session import open_database
    from cacapp.steps.review.accounts import add_account
    from cacapp.types import CHANNELS

    rng = np.random.default_rng(1)
    base = rng.integers(90, 130, (5, HEIGHT, WIDTH), dtype=np.uint16)
    step = DIAMETER + 6
    y, x = np.mgrid[:DIAMETER, :DIAMETER]
    disk = np.hypot(y - DIAMETER / 2, x - DIAMETER / 2) < DIAMETER / 2 - 1
    places = [(r, c) for r in range(4, HEIGHT - step, step) for c in range(4, WIDTH - step, step)]
    for r, c in places:
        base[0, r : r + DIAMETER, c : c + DIAMETER][disk] += 800
        for channel in range(1, 5):
            for k in (20, 45):
                base[channel, r + k : r + k + 4, c + 10 * channel : c + 10 * channel + 4] += 1500
    (folder / "frames").mkdir()
    for n in range(frames):
        frame = base + rng.integers(0, 3, base.shape, dtype=np.uint16)  # no two frames with equal pixels: they would be refused
        metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}, "PhysicalSizeX": 0.12, "PhysicalSizeY": 0.12}
        tifffile.imwrite(folder / "frames" / f"f{n:03}.ome.tif", frame, ome=True, photometric="minisblack", metadata=metadata)
    db = folder / "load.db"
    who = ("--patient", "L1", "--slide", "L1", "--blood-volume-ul", "100")
    subprocess.run([*PROGRAM, "ingest", str(folder / "frames"), *who, "--quiet", "--db", str(db)], check=True)
    record = open_database(db)
    for n in range(reviewers):
        add_account(record, f"reviewer{n}", "reviewer", PASSWORD)
    for name in (*(f"viewer{n}" for n in range(VIEWERS)), *(f"printer{n}" for n in range(PRINTERS))):
        add_account(record, name, "viewer", PASSWORD)
    count(record, places, disk, cells, rng)
    record.dispose()
    return db


def count(record, places, disk, cells, rng) -> None:  # type: ignore[no-untyped-def]
    """Store segment and count runs with a hundredth of the cells flagged."""
    import numpy as np

    from cacapp.db.cells.calls import write_calls, write_counts, write_signals
    from cacapp.db.cells.nuclei import write_cells
    from cacapp.db.runs.ledger import finish_run, record_frame, start_run
    from cacapp.db.slides import frames_of
    from cacapp.fish.assay.read import load_assay
    from cacapp.fish.calls import call_by_counts
    from cacapp.results.patient import refresh_results
    from cacapp.types import Instance, Shapes

    assay = load_assay("katz-4color")
    stored = {"assay_name": assay.name, "assay_version": assay.version, "assay_toml": assay.toml()}
    with record.session() as session:
        segment = start_run(session, step="segment", slide_id=1, fingerprint="load-segment", app_version="load").id
        counted = start_run(
            session, step="count", slide_id=1, source_run_id=segment, fingerprint="load-count", app_version="load", **stored
        ).id
        frames = frames_of(session, 1)
        assert segment is not None
        assert counted is not None
        left = cells
        for i, frame in enumerate(frames):
            n = min(len(places), -(-left // (len(frames) - i)))
            left -= n
            chosen = places[:n]
            nuclei = [Instance((c, r, DIAMETER, DIAMETER), disk) for r, c in chosen]
            full = np.full(n, float(disk.sum()))
            shapes = Shapes(full, np.full(n, 70.0), np.full(n, 70.0), np.full(n, 0.9), np.full(n, 0.98), np.zeros(n, bool), 0.12)
            centres = np.array(chosen, float) + DIAMETER / 2
            ids = write_cells(session, segment, frame.id, nuclei, shapes, centres)
            record_frame(session, segment, frame.id, "done")
            counts = np.full((n, 4), 2)
            counts[rng.random(n) < 0.01, :2] = 3
            for channel in range(1, 5):
                yx = np.concatenate([np.array(chosen, float) + np.array((k, 10.0 * channel)) for k in (20, 45)])
                m = len(yx)
                write_signals(
                    session, counted, frame.id, channel, yx, np.full(m, 20.0), np.full(m, 1500.0), np.full(m, 1.5), [*ids, *ids], [None] * m
                )
            write_counts(session, counted, ids, counts)
            write_calls(session, counted, ids, call_by_counts(counts, [None] * n, assay))
            record_frame(session, counted, frame.id, "done")
        finish_run(session, segment)
        finish_run(session, counted)
        refresh_results(session, [counted], assay, None)


@contextmanager
def server(folder: Path, db: Path) -> Iterator[str]:
    """Start `cacapp review` and wait until the pictures of flagged cells are drawn."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pictures = folder / "pictures"
    command = [*PROGRAM, "review", "--db", str(db), "--port", str(port), "--cache", str(pictures), "--quiet"]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    try:
        drawn = -1
        while len(list(pictures.rglob("*.webp"))) != drawn or not answers(url) or drawn == 0:
            drawn = len(list(pictures.rglob("*.webp")))
            time.sleep(3)
        print(f"{drawn} pictures drawn ahead")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/healthz", timeout=5)  # noqa: S310 - our own server on the loopback address
    except OSError:
        return False
    return True


@contextmanager
def worker(folder: Path, db: Path, wanted: bool) -> Iterator[None]:
    """Repeat a run on another slide until the body ends."""
    if not wanted:
        yield
        return
    from cacapp.simulation import write_slide
    from cacapp.simulation.samples import SAMPLE_MODEL

    write_slide(folder / "other", SAMPLE_MODEL, frames=2, seed=3, height_px=1024, width_px=1024, nuclei=30, kinds=[{"normal": 30}] * 2)
    command = " ".join(
        [*PROGRAM, "run", str(folder / "other"), "--patient L2 --slide L2 --blood-volume-ul 100 --no-report --force --quiet"]
    )
    loop = subprocess.Popen(
        ["/bin/sh", "-c", f"while true; do {command} --db {db}; done"], start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        os.killpg(loop.pid, 15)
        loop.wait(30)


def load(folder: Path, url: str, reviewers: int, seconds: int, python: Path, *, viewers: int) -> None:
    """Run the reviewers of locust, on the loopback address only."""
    known = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "LOAD_LOG": str(folder / "answered.txt"),
        "LOAD_FAILED": str(folder / "failed.txt"),
        "LOAD_REVIEWERS": str(reviewers),
        "LOAD_VIEWERS": str(viewers),
    }
    for name in ("answered.txt", "failed.txt"):
        (folder / name).touch()
    size = ["-u", str(reviewers + viewers), "-r", str(reviewers + viewers), "-t", f"{seconds}s", "--host", url]
    command = [
        str(python),
        "-m",
        "locust",
        "-f",
        __file__,
        "--headless",
        "--loglevel",
        "ERROR",
        "--json-file",
        str(folder / "load"),
        *size,
    ]
    with (folder / "locust.txt").open("w") as said:
        ended = subprocess.run(command, env=known, check=False, timeout=seconds + 120, stdout=said, stderr=said)
    if not (folder / "load.json").is_file():
        raise SystemExit(f"locust ended with {ended.returncode}:\n{(folder / 'locust.txt').read_text()[-2000:]}")


def report(folder: Path, db: Path, *, limit_reads: bool) -> int:
    """Print the table and the check of the reviews; return 1 if one was lost or doubled, or a request failed or took too long."""
    failures, slow = 0, []
    print(f"{'request':<24}{'requests':>10}{'failed':>8}{'median ms':>11}{'95 % ms':>9}{'most ms':>9}{'limit ms':>10}")
    for row in json.loads((folder / "load.json").read_text()):
        if row["name"] == "/login":
            continue
        failures += row["num_failures"]
        median, most = (quantile(row["response_times"], share) for share in (0.5, 0.95))
        limit = LIMITS_MS.get(row["name"])
        longest = row["max_response_time"]
        if (limit is not None and median > limit) or (limit_reads and row["name"] not in WRITES and longest > LONGEST_READ_MS):
            slow.append(row["name"])
        print(
            f"{row['name']:<24}{row['num_requests']:>10}{row['num_failures']:>8}{median:>11.0f}{most:>9.0f}{longest:>9.0f}{limit or '':>10}"
        )
    for line in (folder / "failed.txt").read_text().splitlines():
        print(f"failed: {line}")
    answered = (folder / "answered.txt").read_text().split()
    with closing(sqlite3.connect(db)) as raw:
        kept = [key for (key,) in raw.execute("SELECT key FROM review")]
    lost, doubled = set(answered) - set(kept), len(kept) - len(set(kept))
    print(f"{len(answered)} reviews answered, {len(lost)} lost, {doubled} doubled, {failures} requests failed")
    if slow:
        print(f"over the limit: {', '.join(slow)}")
    return 1 if lost or doubled or failures or slow else 0


def quantile(times: dict[str, int], share: float) -> float:
    """Return a quantile of locust's histogram (milliseconds to their number)."""
    left = share * sum(times.values())
    for ms, n in sorted((float(ms), n) for ms, n in times.items()):
        left -= n
        if left <= 0:
            return ms
    return float("nan")


if __name__ == "__main__":
    sys.exit(main())
