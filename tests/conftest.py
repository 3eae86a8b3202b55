"""What all tests share: a real, empty record; the command line; a small slide."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tifffile

from cacapp.cli.app import run_command
from cacapp.db.session import Database, open_database
from cacapp.simulation import write_slide
from cacapp.simulation.samples import SAMPLE_MODEL
from cacapp.types import CHANNELS, Array

# threads of torch that spin while they wait cost other processes on the same cores many times their work; read when torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def empty_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file without rows, made once; copy it."""
    path = tmp_path_factory.mktemp("record") / "empty.db"
    open_database(path).dispose()
    return path


@pytest.fixture
def database(empty_record: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty record of this test alone."""
    path = tmp_path / "cacapp.db"
    shutil.copy(empty_record, path)
    opened = open_database(path)
    yield opened
    opened.dispose()


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self, kind: str) -> list[str]:
        """The lines on stderr that start with ``kind``: "error" or "warning"."""
        return [line for line in self.err.splitlines() if line.startswith(f"{kind}:")]


@pytest.fixture
def cacapp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs ``cacapp ARGS`` in this process, in a folder of the test alone, where its database is cacapp.db."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CACAPP_DB", raising=False)

    def run(*args: object) -> Ended:
        capfd.readouterr()
        code = run_command([str(a) for a in args])
        streams = capfd.readouterr()
        assert "Traceback" not in streams.err
        return Ended(code, streams.out, streams.err)

    return run


@pytest.fixture(scope="session")
def small_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two frames of 384 x 384 px, ten nuclei each, and truth.csv; to read only."""
    folder = tmp_path_factory.mktemp("slides") / "small"
    kinds = {"normal": 8, "gain": 1, "cac": 1}
    write_slide(folder, SAMPLE_MODEL, frames=2, seed=7, height_px=384, width_px=384, nuclei=10, kinds=[kinds, kinds])
    return folder


WHO = ("--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100")


@pytest.fixture(scope="session")
def counted_once(tmp_path_factory: pytest.TempPathFactory, small_slide: Path) -> Path:
    """A record in which the small slide is counted as slide S1 of patient P1, 100 µL; copy it."""
    path = tmp_path_factory.mktemp("counted") / "counted.db"
    assert run_command(["run", str(small_slide), *WHO, "--segmenter", "coarse", "--no-report", "--quiet", "--db", str(path)]) == 0
    return path


@pytest.fixture
def counted(cacapp: Callable[..., Ended], counted_once: Path, tmp_path: Path) -> Callable[..., Ended]:
    """The command line in a folder whose cacapp.db holds the counted small slide."""
    with closing(sqlite3.connect(counted_once)) as source, closing(sqlite3.connect(tmp_path / "cacapp.db")) as copy:
        source.backup(copy)  # with what is still in the write-ahead log
    return cacapp


@pytest.fixture(scope="session")
def planes(small_slide: Path) -> Array:
    """(5, 384, 384) uint16 pixels of the small slide's first frame, in the order of CHANNELS."""
    pixels: Array = tifffile.imread(small_slide / "frame00.ome.tif")
    return pixels


@pytest.fixture
def save_frame() -> Callable[..., Path]:
    """Writes (C, Y, X) pixels as an OME-TIFF with channel names and, unless None, a pixel size in µm."""

    def save(path: Path, pixels: Array, names: Sequence[str] = CHANNELS, pixel_size_um: float | None = 0.12) -> Path:
        metadata: dict[str, Any] = {"axes": "CYX", "Channel": {"Name": list(names)}}
        if pixel_size_um is not None:
            metadata |= {
                "PhysicalSizeX": pixel_size_um,
                "PhysicalSizeXUnit": "µm",
                "PhysicalSizeY": pixel_size_um,
                "PhysicalSizeYUnit": "µm",
            }
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=metadata)
        return path

    return save
