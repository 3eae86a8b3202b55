"""Benchmark of segmenters on large frames: accuracy, time and memory, compared with the plain reference in one run.

    python benchmarks/nuclei.py SHARED [--frames 2] [--seed 21] [--segmenter coarse sam dense maskrcnn] [--yardstick-python PYTHON]

SHARED contains bench/semireal.py, bench/score.py, bench/reference.py and data/dsb2018_fluo_dev. Frames are made once in the work
folder. Each segmenter is a process of its own (`cacapp segment`, from reading the frame to rows in the database); the time of
another process on half the frames is subtracted, so that seconds per frame exclude the start and the loading of weights.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

from main_job import CACAPP, Finished, run
from rich.console import Console
from rich.table import Table

VOLUME = ("--blood-volume-ul", "unknown")
NUCLEI_SECONDS = re.compile(r"nuclei ([\d.]+)")


def frames_of(work: Path, bench: Path, data: Path, python: str, frames: int, seed: int, optics: list[str]) -> Path:
    """Return the folder of semi-real frames; make it if it is missing."""
    slug = re.sub(r"[^A-Za-z0-9._=-]", "_", "-".join([f"seed{seed}", f"frames{frames}", *sorted(optics)]))
    folder = work / slug
    if not (folder / "truth.csv").exists():
        settings = [part for text in optics for part in ("--set", text)]
        run([python, str(bench / "semireal.py"), str(data), str(folder), "--frames", str(frames), "--seed", str(seed), *settings])
    return folder


def segmented(frames: Path, names: list[str], segmenter: str, out: Path) -> Finished:
    """Segment the named frames into a new database, with label images beside it."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    db = str(out / "cacapp.db")
    run([*CACAPP, "ingest", *(str(frames / name) for name in names), "--patient", "P", "--slide", "S", *VOLUME, "--quiet", "--db", db])
    done = run([*CACAPP, "segment", "--segmenter", segmenter, "--quiet", "--db", db])
    run([*CACAPP, "export", str(out / "labels"), "--db", db, "--quiet"])
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--optics", action="append", default=[], metavar="NAME=VALUE", help="passed to semireal.py as --set")
    parser.add_argument("--segmenter", nargs="+", default=["coarse", "sam", "dense", "maskrcnn"])
    parser.add_argument("--work", type=Path, default=Path(".bench"))
    parser.add_argument("--yardstick-python", default=sys.executable, help="Python with scikit-image, for the reference")
    a = parser.parse_args()
    bench, data = a.shared / "bench", a.shared / "data" / "dsb2018_fluo_dev"
    frames = frames_of(a.work, bench, data, a.yardstick_python, a.frames, a.seed, a.optics)
    names = sorted(path.name for path in frames.glob("*.ome.tif"))
    out = a.work / "nuclei"
    table = Table(title=f"Nuclei on {a.frames} frames, seed {a.seed} {' '.join(a.optics)}", title_justify="left")
    for column in ("segmenter", "AP@0.5", "AP@0.75", "object Dice", "s a frame", "over the reference's", "peak memory, MB"):
        table.add_column(column, justify="left" if column == "segmenter" else "right")
    plain = run([a.yardstick_python, str(bench / "reference.py"), "frames", str(frames), str(out / "reference")])
    seconds = float(NUCLEI_SECONDS.findall(plain.output)[-1])

    def row(name: str, labels: Path, took: float, memory_mb: float) -> None:
        found = json.loads(run([a.yardstick_python, str(bench / "score.py"), "nuclei", str(frames), str(labels)]).output)
        figures = [f"{found[key]:.3f}" for key in ("AP@0.5", "AP@0.75", "object_dice")]
        table.add_row(name, *figures, f"{took:.2f}", f"{took / seconds:.2f}", f"{memory_mb:.0f}")

    row("reference.py, nuclei alone", out / "reference", seconds, plain.memory_mb)
    for segmenter in a.segmenter:
        part = segmented(frames, names[: len(names) // 2], segmenter, out / "half")
        whole = segmented(frames, names, segmenter, out / segmenter)
        took = (whole.seconds - part.seconds) / (len(names) - len(names) // 2)
        row(segmenter, out / segmenter / "labels", took, whole.memory_mb)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
