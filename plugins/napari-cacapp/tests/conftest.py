"""A record with a counted slide, made once by cacapp itself."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cacapp.cli.app import run_command
from cacapp.simulation import write_slide
from cacapp.simulation.samples import SAMPLE_MODEL

REVIEWER = "rita"


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record with slide S1, two frames of 384 x 384 px, ten nuclei each."""
    folder = tmp_path_factory.mktemp("record")
    kinds = {"normal": 8, "gain": 1, "cac": 1}
    write_slide(folder / "slide", SAMPLE_MODEL, frames=2, seed=7, height_px=384, width_px=384, nuclei=10, kinds=[kinds, kinds])
    db = folder / "cacapp.db"
    who = ("--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100")
    assert run_command(["run", str(folder / "slide"), *who, "--segmenter", "coarse", "--no-report", "--quiet", "--db", str(db)]) == 0
    with closing(sqlite3.connect(db)) as record:
        record.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return db


@pytest.fixture
def record(counted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the record for one test; ``rita`` reviews."""
    monkeypatch.setenv("CACAPP_REVIEWER", REVIEWER)
    return Path(shutil.copy(counted, tmp_path / "cacapp.db"))
