"""A run on TIFF loads no library that only other formats or clusters need, in no process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("aicsimageio", "dask", "distributed", "xarray", "pandas", "zarr")
WATCH = f"""
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        loads = sys._getframe(2).f_globals["__name__"] != "importlib.util"  # which only asks whether it is installed
        if loads and (name in {HEAVY!r} or name == "numpy"):
            with open(os.environ["SEEN"], "a") as file:
                file.write(f"{{os.getpid()}} {{name}}\\n")

sys.meta_path.insert(0, Watch())
"""


@pytest.mark.e2e
@pytest.mark.sqlite_only
def test_coordinator_and_workers_of_a_run_on_tiff_import_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "SEEN": str(tmp_path / "seen")}
    slide = ROOT / "sample_slides" / "S02"
    words = [
        "run",
        str(slide),
        "--patient",
        "P",
        "--slide",
        "S",
        "--blood-volume-ul",
        "100",
        "--segmenter",
        "coarse",
        "--workers",
        "2",
        "--no-report",
    ]
    command = [sys.executable, "-m", "cacapp", *words, "--workers", "2", "--no-report"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    assert len({pid for pid, name in seen if name == "numpy"}) >= 3, "the coordinator and both workers were watched"
    assert {name for _, name in seen} == {"numpy"}
