"""A hostile plugin loses its own result and nothing else: the frame that it processed, in a line that names the plugin.

It misbehaves on the first of two frames. Run once in the run's own worker processes, and once isolated in a process of its own.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import tifffile

from cacapp.cli.app import run_command
from tests.conftest import WHO

PLUGIN = """
import os, signal, time
from typing import ClassVar
import numpy as np
from cacapp import Field, Segmenter, hookimpl

class Hostile(Segmenter):
    "The prompter's regions, but for one frame."
    name: ClassVar[str] = "hostile"
    api_version: ClassVar[int] = 1
    bad: int = Field(0, ge=0, description="sum of the pixels of the frame it is bad on")
    def segment(self, dapi, prompts, pixel_size_um):
        if int(dapi.sum(dtype=np.int64)) == self.bad:
            {misdeed}
        return list(prompts.regions)

@hookimpl
def cacapp_segmenters():
    return [Hostile]
"""

GIB = 2**30
LIMIT_GIB = 6
"""Limit of the memory of the command and of each worker, as on a machine that has no more."""

TIMEOUT_S = 25
"""Longer than a busy machine takes to load the readers of frames."""

LINE = PLUGIN.partition("{misdeed}")[0].count("\n") + 1
FAILED = f"failed: ZeroDivisionError: no luck, at acme_hostile_{{module}}.py:{LINE} in segment"

MISDEEDS: dict[str, tuple[str, str, str]] = {
    # misdeed: what it does, what is said of it in a worker, what is said of it isolated
    "raises": ("raise ZeroDivisionError('no luck')", FAILED, FAILED),
    "returns garbage": ("return {'nuclei': 42}", "must return a list of Instance, got dict", "must return a list of Instance, got dict"),
    "mutates its input": ("dapi.flags.writeable = True; dapi[:] = 0", "changed its input", "changed its input"),
    "allocates 50 GB": ("list(map(float, np.ones(50 * 2**27)))", "ran out of memory", "ran out of memory"),
    "hangs": ("while True: time.sleep(1)", f"longer than --frame-timeout {TIMEOUT_S} s", f"took longer than {TIMEOUT_S} s and was stopped"),
    "segfaults": ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed (SIGSEGV)", "crashed (SIGSEGV)"),
    "patches numpy": ("np.median = lambda *a, **k: 0.0", "replaced numpy.median", "replaced numpy.median"),
}


def limited() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_GIB * GIB, LIMIT_GIB * GIB))


@pytest.fixture
def run(install: Callable[..., None], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs cacapp as a program, in a folder of its own, on a machine with little memory."""

    def command(*args: object, config: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "config.toml").write_text(config)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "CACAPP_CONFIG": str(tmp_path / "config.toml")}
        environment.pop("CACAPP_DB", None)
        return subprocess.run(
            [sys.executable, "-m", "cacapp", *map(str, args)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            preexec_fn=limited,
        )

    return command


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory, small_slide: Path) -> tuple[Path, list[Any]]:
    """A record that holds the slide, and the cells of its second frame as the algorithm makes them that the plugin copies."""
    folder = tmp_path_factory.mktemp("ingested")
    path = folder / "cacapp.db"
    assert run_command(["ingest", str(small_slide), *WHO, "--quiet", "--db", str(path)]) == 0
    kept = folder / "segmented.db"
    copied(path, kept)
    assert run_command(["segment", "--segmenter", "coarse", "--quiet", "--db", str(kept)]) == 0
    return path, cells_of(kept)["frame01"]


def copied(record: Path, to: Path) -> None:
    """With what is still in its write-ahead log."""
    with closing(sqlite3.connect(record)) as source, closing(sqlite3.connect(to)) as copy:
        source.backup(copy)


def cells_of(record: Path) -> dict[str, list[Any]]:
    """Boxes and masks of the cells by frame."""
    found: dict[str, list[Any]] = {}
    with closing(sqlite3.connect(record)) as connection:
        query = (
            "select frame.name, cell.bbox_x_px, cell.bbox_y_px, cell.mask from cell join frame on frame.id = cell.frame_id order by cell.id"
        )
        for name, *rest in connection.execute(query):
            found.setdefault(name, []).append(rest)
    return found


ISOLATED = f"""
[plugins.acme-hostile]
isolation = "process"
timeout_s = {TIMEOUT_S}
memory_mb = 2000
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory hold on Linux")
@pytest.mark.parametrize("isolated", [False, True], ids=["in a worker", "isolated"])
@pytest.mark.parametrize("misdeed", MISDEEDS)
def test_a_hostile_plugin_costs_its_own_result_and_nothing_else(
    run: Callable[..., subprocess.CompletedProcess[str]],
    install: Callable[..., None],
    small_slide: Path,
    ingested: tuple[Path, list[Any]],
    tmp_path: Path,
    misdeed: str,
    isolated: bool,
) -> None:
    what, in_worker, alone = MISDEEDS[misdeed]
    install("acme-hostile", "hostile", source=PLUGIN.format(misdeed=what))
    record, untouched = ingested
    copied(record, tmp_path / "cacapp.db")
    bad = int(tifffile.imread(small_slide / "frame00.ome.tif")[0].sum(dtype="int64"))
    how = () if isolated else ("--frame-timeout", TIMEOUT_S)
    hostile = run("segment", "--segmenter", "hostile", "--set", f"bad={bad}", "--retries", 0, *how, config=ISOLATED if isolated else "")

    assert hostile.returncode == 3, hostile.stderr
    assert "Traceback" not in hostile.stderr
    (line,) = {line for line in hostile.stderr.splitlines() if line.startswith("error:")}
    assert "frame00" in line
    expected = (alone if isolated else in_worker).format(module=tmp_path.name.replace("-", "_"))
    assert expected in line
    assert "'hostile' (plugin 'hostile' of acme-hostile 1.2)" in line
    shown = run("runs", "show", 1, "--json")
    assert expected in json.dumps(json.loads(shown.stdout), ensure_ascii=False), shown.stderr
    # the other frame, worked on after it, is what it would have been without it
    assert cells_of(tmp_path / "cacapp.db") == {"frame01": untouched}


@pytest.mark.parametrize("when", ["loaded", "asked what it has"])
def test_a_plugin_that_patches_numpy_when_it_is_loaded_is_not_used_and_numpy_is_as_before(install: Callable[..., None], when: str) -> None:
    import numpy as np

    from cacapp.host import Host

    before = np.median
    patch = "np.median = lambda *a, **k: 0.0"
    source = PLUGIN.format(misdeed="pass")
    install(
        "acme-hostile",
        "hostile",
        source=source + patch if when == "loaded" else source.replace("    return [H", f"    {patch}\n    return [H"),
    )
    host = Host.discover()
    assert np.median is before
    assert "hostile" not in [r.name for r in host.algorithms("segmenter")]
    (problem,) = host.problems
    assert "plugin 'hostile' of acme-hostile 1.2: is not used: it replaces numpy.median" in str(problem)


def test_names_that_a_plugin_adds_to_numpy_affect_no_other_code(install: Callable[..., None]) -> None:
    from cacapp.host import Host

    install("acme-hostile", "hostile", source=PLUGIN.format(misdeed="pass") + "np.float_of_old = float\n")
    assert not Host.discover().problems
