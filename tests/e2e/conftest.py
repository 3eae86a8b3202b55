"""The five sample patients, taken through the real command line once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cacapp.simulation import write_slide
from cacapp.simulation.samples import SAMPLE_MODEL
from tests.e2e.programs import FRAMES
from tests.postgres import Postgres

CHECKOUT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "cacapp")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `cacapp demo`, started in the checkout, has filled: cacapp.db and reports/; and its output, printed.txt."""
    out = tmp_path_factory.mktemp("demo")
    ended = subprocess.run([*PROGRAM, "demo", "--out", str(out)], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (out / "printed.txt").write_text(ended.stdout)
    return out


@pytest.fixture(scope="session")
def twelve_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of 224 x 224 px with four nuclei each."""
    folder = tmp_path_factory.mktemp("killed") / "slide"
    kinds = {"normal": 3, "cac": 1}
    write_slide(folder, SAMPLE_MODEL, frames=FRAMES, seed=5, height_px=224, width_px=224, nuclei=4, kinds=[kinds] * FRAMES)
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path, empty_record: Path) -> Iterator[Callable[[], str]]:
    """Gives empty records, one after the other; the last one is taken away when the next is asked for."""
    server: Postgres | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    made: list[str] = []

    def drop() -> None:
        for name in made:
            if server is not None:
                server.drop(name)
            else:
                for path in tmp_path.glob("record.db*"):
                    path.unlink()
        made.clear()

    def create() -> str:
        drop()
        if server is not None:
            made.append(server.create(template="empty"))
            return server.url(made[-1])
        made.append("record")
        shutil.copy(empty_record, tmp_path / "record.db")
        return str(tmp_path / "record.db")

    yield create
    drop()
