"""Benchmark of signals: time and memory of one frame, compared with the plain reference in one run.

    python benchmarks/signals.py SHARED FOLDER [--times 7] [--yardstick-python PYTHON]

FOLDER was made by bench/semireal.py. Its first frame is counted with the true nuclei, without segmentation: pixels in memory, four
channels, everything from quality to calls. The signals of the reference are timed on the same frame and nuclei, right before and after.
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import tifffile

from cacapp import host as guard
from cacapp.algorithms.log import LogDetector
from cacapp.arrays.focus import focus_of
from cacapp.arrays.regions import instances_of
from cacapp.arrays.shapes import shapes_of
from cacapp.fish.assay.read import load_assay
from cacapp.fish.count_frame import CountTask, count_frame
from cacapp.types import CHANNELS

PIXEL_UM = 0.12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--yardstick-python", default=sys.executable)
    a = parser.parse_args()
    picture = sorted(a.folder.glob("*.ome.tif"))[0]
    name = picture.name.removesuffix(".ome.tif")
    before = reference_seconds(a, picture)
    pixels = dict(zip(CHANNELS, tifffile.imread(picture), strict=True))
    dapi = pixels[CHANNELS[0]]
    nuclei = instances_of(tifffile.imread(a.folder / f"{name}_labels.tif"))
    task = CountTask(
        source=None,  # type: ignore[arg-type]
        cell_ids=tuple(range(len(nuclei))),
        nuclei=tuple(nuclei),
        shapes=shapes_of(nuclei, *dapi.shape, PIXEL_UM),
        focus=focus_of(dapi, nuclei),
        excluded=(None,) * len(nuclei),
    )
    detector, assay = LogDetector(), load_assay("katz-4color")
    count_frame(partial(guard.detect, detector), assay, pixels, PIXEL_UM, task)
    idle = memory_mb()
    walls, cpus = [], []
    for _ in range(a.times):
        wall, cpu = time.perf_counter(), time.process_time()
        count_frame(partial(guard.detect, detector), assay, pixels, PIXEL_UM, task)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    after = reference_seconds(a, picture)
    ours, theirs = statistics.median(walls), (before + after) / 2
    size = f"{dapi.shape[1]} x {dapi.shape[0]} px"
    print(f"{len(nuclei)} nuclei, {size}, median of {a.times}: {ours:.2f} s ({min(walls):.2f} to {max(walls):.2f})")
    print(f"CPU {statistics.median(cpus):.2f} s")
    print(f"reference, before and after: {before:.2f}, {after:.2f} s; ratio {ours / theirs:.3f}")
    print(f"memory: {idle:.0f} MB at most, {sum(p.nbytes for p in pixels.values()) / 1e6:.0f} MB of it the frame")


def reference_seconds(a: argparse.Namespace, picture: Path) -> float:
    """Return the time of the reference for the signals of the frame, s, from its output."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / picture.name).symlink_to(picture.resolve())
        command = [a.yardstick_python, str(a.shared / "bench" / "reference.py"), "frames", folder, str(Path(folder) / "out")]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"signals ([0-9.]+)", printed)
    assert found is not None, printed
    return float(found[1])


def memory_mb() -> float:
    """Return the largest resident memory of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
