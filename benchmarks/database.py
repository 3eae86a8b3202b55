"""Benchmark of databases with generated cells: times of cacapp's writes and queries at growing sizes.

    python benchmarks/database.py [--cells 10000 100000 1000000] [--database sqlite postgresql] [--url PATH_OR_URL]

Frames of 350 cells; 8 signals, 4 counts and one call a cell; one frame a transaction, as in a run. Masks are encoded ellipses of
nuclear size. PostgreSQL is the server of the tests, but waits for the disk, as by default. Prints a table with a line for each size and
kind of database and, with --json, one object for each.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.exc import OperationalError

from cacapp.db import slides
from cacapp.db.cells import calls
from cacapp.db.cells import nuclei as cells
from cacapp.db.cells.queries import cells as ask_cells
from cacapp.db.cells.queries import signals_of
from cacapp.db.engine.session import Database, Session, open_database
from cacapp.db.queries import patients
from cacapp.db.runs import ledger as runs
from cacapp.db.runs.superseded import size_bytes
from cacapp.db.tables import Table
from cacapp.fish.assay.read import load_assay
from cacapp.fish.calls import Call
from cacapp.results.patient import refresh_results
from cacapp.steps.record.check import check
from cacapp.types import CHANNELS, ChannelSource, FrameSource, Instance, Shapes

sys.path.insert(0, str(Path(__file__).parents[1]))  # the server of the tests
from tests.postgres import start as start_server

TABLES = frozenset(Table.metadata.tables)
CELLS_PER_FRAME = 350
FRAMES_PER_SLIDE = 20
SIGNALS_PER_CHANNEL = 2
PROBES = 4
HEIGHT_PX, WIDTH_PX = 3600, 4128
CAC_FRACTION = 0.001
ASSAY = load_assay("katz-4color")


NORMAL = Call("normal", None, False, 6.5, False, None, True)
CAC = Call("cac", None, True, 3.25, True, "flagged as CAC", True)
EDGE = "touches the frame's edge"
EXCLUDED = Call(None, None, False, None, False, None, False, EDGE)


def nucleus(rng: np.random.Generator) -> Instance:
    """Return a filled ellipse with a wavy outline, 64 to 90 px across (6.4 to 9 µm at 0.1 µm per pixel), encoded in about 150 bytes."""
    h, w = rng.integers(64, 91, 2)
    y, x = np.mgrid[:h, :w]
    angle = np.arctan2(y - h / 2, x - w / 2)
    wave = 1 - 0.05 * (1 + np.sin(3 * angle + rng.uniform(0, 6)))
    return Instance((0, 0, int(w), int(h)), ((y - h / 2) / (h / 2)) ** 2 + ((x - w / 2) / (w / 2)) ** 2 <= wave**2, 0.9)


def place(shapes_of: list[Instance], rng: np.random.Generator) -> list[Instance]:
    """Return the nuclei of a frame: the given masks at random places."""
    chosen = rng.integers(0, len(shapes_of), CELLS_PER_FRAME)
    x, y = rng.integers(0, WIDTH_PX - 100, CELLS_PER_FRAME), rng.integers(0, HEIGHT_PX - 100, CELLS_PER_FRAME)
    found = [shapes_of[i] for i in chosen]
    return [Instance((int(x[i]), int(y[i]), *found[i].bbox_xywh[2:]), found[i].mask, 0.9) for i in range(CELLS_PER_FRAME)]


def write_frame(session: Session, segment_id: int, count_id: int, frame_id: int, nuclei: list[Instance], rng: np.random.Generator) -> None:
    """Write all results of a run for one frame."""
    n = len(nuclei)
    area = np.array([instance.mask.sum() for instance in nuclei], np.float64)
    ratio = rng.uniform(0.8, 0.99, n)
    shapes = Shapes(area, rng.uniform(70, 100, n), rng.uniform(60, 70, n), ratio, ratio, np.zeros(n, bool))
    corner = np.array([instance.bbox_xywh for instance in nuclei], np.float64)
    centre = corner[:, 1::-1] + corner[:, 3:1:-1] / 2
    edge = rng.random(n) < 0.03
    why = [EDGE if out else None for out in edge]
    ids = cells.write_cells(session, segment_id, frame_id, nuclei, shapes, centre, rng.uniform(0.1, 1, n), why, {"single-cell": why})
    runs.record_frame(session, segment_id, frame_id, "done", seconds=1.0)
    owners = np.repeat(ids, SIGNALS_PER_CHANNEL).tolist()
    m = len(owners)
    for channel in range(1, PROBES + 1):
        yx = np.repeat(centre, SIGNALS_PER_CHANNEL, axis=0) + rng.uniform(-20, 20, (m, 2))
        snr, height, sigma = rng.uniform(5, 60, m), rng.uniform(100, 9000, m), rng.uniform(1, 2, m)
        calls.write_signals(session, count_id, frame_id, channel, yx, snr, height, sigma, owners, [None] * m)
    calls.write_counts(session, count_id, ids, np.full((n, PROBES), SIGNALS_PER_CHANNEL))
    cac = rng.random(n) < CAC_FRACTION
    made = [EXCLUDED if edge[i] else CAC if cac[i] else NORMAL for i in range(n)]
    calls.write_calls(session, count_id, ids, made)
    runs.record_frame(session, count_id, frame_id, "done", seconds=1.0)


def source(slide: int, frame: int) -> FrameSource:
    """Return a frame that exists in the database only."""
    digest = runs.fingerprint(slide=slide, frame=frame)
    uri = f"slides/S{slide:04d}/f{frame:03d}.ome.tif"
    channels = tuple(ChannelSource(name, name, uri, index, digest) for index, name in enumerate(CHANNELS))
    return FrameSource(f"f{frame:03d}", uri, digest, "", "none", HEIGHT_PX, WIDTH_PX, "uint16", 0.1, channels)


def fill(database: Database, cell_count: int) -> tuple[int, float, float]:
    """Write at least ``cell_count`` cells, one slide per patient; return their number, and wall time and processor time of writing, s."""
    rng = np.random.default_rng(1)
    known = [nucleus(rng) for _ in range(100)]
    frames_left, slide_number, written, seconds, cpu = -(-cell_count // CELLS_PER_FRAME), 0, 0, 0.0, 0.0
    while frames_left:
        frame_count = min(frames_left, FRAMES_PER_SLIDE)
        with database.session() as session:
            slide = slides.register_slide(session, f"P{slide_number:04d}", f"S{slide_number:04d}", 100.0)
            rows = [slides.add_frame(session, slide, source(slide_number, i)) for i in range(frame_count)]
            frame_ids = [row.id for row in rows if row is not None and row.id is not None]
            same: dict[str, Any] = {"slide_id": slide.id, "fingerprint": "generated", "app_version": "benchmark"}
            segment_id = runs.start_run(session, step="segment", **same).id
            assay = {"assay_name": ASSAY.name, "assay_version": ASSAY.version, "assay_toml": ASSAY.toml()}
            count_id = runs.start_run(session, step="count", source_run_id=segment_id, **assay, **same).id
        for frame_id in frame_ids:
            nuclei = place(known, rng)
            start, start_cpu = time.perf_counter(), time.process_time()
            with database.session() as session:
                write_frame(session, segment_id, count_id, frame_id, nuclei, rng)
            seconds += time.perf_counter() - start
            cpu += time.process_time() - start_cpu
            written += len(nuclei)
        with database.session() as session:
            runs.finish_run(session, segment_id)
            runs.finish_run(session, count_id)
            refresh_results(session, [count_id], ASSAY, None)
        frames_left -= frame_count
        slide_number += 1
    return written, seconds, cpu


def timed(database: Database, question: Any) -> tuple[float, Any]:
    """Return the shortest of three times, s, and the result."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        with database.reading() as session:
            answer = question(session)
        best = min(best, time.perf_counter() - start)
    return best, answer


def size(database: Database) -> dict[str, int]:
    """Return bytes by table with its indexes; "all": of the whole database."""
    with database.reading() as session:
        connection = session.connection()
        if connection.dialect.name == "postgresql":
            sizes = {t: connection.exec_driver_sql("SELECT pg_total_relation_size(%s::regclass)", (t,)).scalar_one() for t in TABLES}
        else:
            try:
                pages = "SELECT coalesce(m.tbl_name, d.name), sum(d.pgsize) FROM dbstat d LEFT JOIN sqlite_master m ON m.name = d.name"
                owners = f"{pages} GROUP BY 1"
                sizes = {table: total for table, total in connection.exec_driver_sql(owners) if table in TABLES}
            except OperationalError:  # SQLite without dbstat
                sizes = {}
        return {**sizes, "all": size_bytes(session)}


def measure(url: str, cell_count: int) -> dict[str, Any]:
    """Fill the database at ``url`` and time its queries."""
    database = open_database(url)
    with database.reading() as session:
        empty = size_bytes(session)
    written, seconds, cpu = fill(database, cell_count)
    sizes = size(database)
    figures: dict[str, Any] = {
        "database": database.engine.dialect.name,
        "cells": written,
        "signals": written * PROBES * SIGNALS_PER_CHANNEL,
        "write_seconds": seconds,
        "write_processor_seconds": cpu,
        "cells_per_minute": 60 * written / seconds,
        "bytes_per_cell": (sizes["all"] - empty) / written,
        "bytes_per_cell_by_table": {table: round(bytes_ / written, 1) for table, bytes_ in sizes.items() if table != "all"},
    }
    with database.reading() as session:
        figures["mask_bytes"] = float(session.connection().exec_driver_sql("SELECT avg(length(mask)) FROM cell").scalar_one())
    figures["patients_seconds"], everyone = timed(database, patients)
    some = everyone[len(everyone) // 2].patient.code
    figures["cells_of_class_cac_seconds"], _ = timed(database, lambda session: ask_cells(session, patient=some, class_="cac"))
    figures["cells_of_class_cac_everyone_seconds"], _ = timed(database, lambda session: ask_cells(session, class_="cac"))
    figures["first_50_cells_seconds"], first = timed(database, lambda session: ask_cells(session, limit=50))
    figures["signals_of_a_cell_seconds"], dots = timed(database, lambda session: signals_of(session, first[-1].cell_id))
    if len(dots) != PROBES * SIGNALS_PER_CHANNEL:
        raise SystemExit(f"cell {first[-1].cell_id} has {len(dots)} signals, not {PROBES * SIGNALS_PER_CHANNEL}")
    start = time.perf_counter()
    checked = check(database, "none")
    figures["check_seconds"] = time.perf_counter() - start
    if checked.problems:
        raise SystemExit(f"db check: {checked.problems[:3]}")
    start = time.perf_counter()
    database.compact()
    figures["compact_seconds"] = time.perf_counter() - start
    with database.reading() as session:
        figures["bytes_per_cell_compacted"] = (size_bytes(session) - empty) / written
    database.dispose()
    return figures


COLUMNS = (
    ("database", "database", "{}"),
    ("cells", "cells", "{:,}"),
    ("cells_per_minute", "cells / min", "{:,.0f}"),
    ("bytes_per_cell", "bytes / cell", "{:.0f}"),
    ("bytes_per_cell_compacted", "compacted", "{:.0f}"),
    ("patients_seconds", "patients, s", "{:.4f}"),
    ("cells_of_class_cac_seconds", "CACs of a patient, s", "{:.4f}"),
    ("signals_of_a_cell_seconds", "a cell's signals, s", "{:.4f}"),
    ("check_seconds", "db check, s", "{:.1f}"),
)


def line(figures: dict[str, Any]) -> str:
    return "| " + " | ".join(form.format(figures[name]) for name, _, form in COLUMNS) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[100_000], help="cells to write; each number gets a database of its own")
    parser.add_argument("--database", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite"], help="kinds of database")
    parser.add_argument("--url", help="one empty database to fill instead")
    parser.add_argument("--json", action="store_true", help="print a JSON object a line, with further figures")
    options = parser.parse_args()
    if not options.json:
        print("| " + " | ".join(title for _, title, _ in COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for figures in results(options):
        print(json.dumps(figures) if options.json else line(figures), flush=True)


def results(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if options.url:
        yield from (measure(options.url, cells) for cells in options.cells[:1])
        return
    server = start_server(durable=True) if "postgresql" in options.database else None
    try:
        for cell_count in options.cells:
            if "sqlite" in options.database:
                with tempfile.TemporaryDirectory() as folder:
                    yield measure(str(Path(folder) / "benchmark.db"), cell_count)
            if server is not None:
                name = server.create()
                yield measure(server.url(name), cell_count)
                server.drop(name)
    finally:
        if server is not None:
            server.stop()


if __name__ == "__main__":
    main()
