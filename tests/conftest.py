"""Fixtures of all tests: an empty database, the command line, a small slide."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tifffile
import typer.main
from sqlalchemy import make_url, text

from cacapp.cli.app import run_command
from cacapp.db.engine.session import Database, migration_connection, open_database
from cacapp.simulation import write_slide
from cacapp.simulation.samples import SAMPLE_MODEL
from cacapp.types import CHANNELS, Array
from tests.postgres import Postgres, start

# threads of torch that spin while they wait cost other processes on the same cores many times their work; read when torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


pytest_plugins = ["tests.lab", "tests.selection"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of this test session, with a migrated template "empty"."""
    server = start()
    try:
        open_database(server.url(server.create("empty"))).dispose()
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """An empty record on PostgreSQL, of this test alone."""
    name = postgres.create(template="empty")
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(scope="session", autouse=True)
def one_command_tree() -> Iterator[None]:
    """Build the tree of commands once, not for each of the hundreds of commands of this process: that takes longer than most of them."""
    patch = pytest.MonkeyPatch()
    patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
    yield
    patch.undo()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT interrupts this test and the processes it starts, also where the suite was started with SIGINT ignored (in the background)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def empty_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file without rows, made once; copy it."""
    path = tmp_path_factory.mktemp("record") / "empty.db"
    open_database(path).dispose()
    return path


@pytest.fixture
def record_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where this test's record is, which nobody made yet in SQLite: what ``--db`` takes."""
    return str(tmp_path / "cacapp.db") if database_kind == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def database(record_url: str, database_kind: str, empty_record: Path) -> Iterator[Database]:
    """An empty record of this test alone."""
    if database_kind == "sqlite":
        shutil.copy(empty_record, record_url)
    opened = open_database(record_url)
    yield opened
    opened.dispose()


@pytest.fixture
def ask(record_url: str) -> Callable[..., list[tuple[Any, ...]]]:
    """Runs one SQL statement with parameters on this test's record, past cacapp; returns its rows."""

    def run(statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        with migration_connection(record_url) as connection:
            result = connection.execute(text(statement), parameters)
            return [tuple(row) for row in result] if result.returns_rows else []

    return run


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
def cacapp(
    record_url: str, database_kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Runs ``cacapp ARGS`` in this process, in a folder of the test alone; its database is cacapp.db there, or CACAPP_DB names it."""
    monkeypatch.chdir(tmp_path)
    if database_kind == "sqlite":
        monkeypatch.delenv("CACAPP_DB", raising=False)
    else:
        monkeypatch.setenv("CACAPP_DB", record_url)

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
    _count(small_slide, str(path))
    return path


@pytest.fixture(scope="session")
def counted_template(postgres: Postgres, small_slide: Path) -> str:
    """The same on PostgreSQL: the name of a database to copy."""
    name = postgres.create("counted", "empty")
    _count(small_slide, postgres.url(name))
    return name


def _count(slide: Path, db: str) -> None:
    assert run_command(["run", str(slide), *WHO, "--segmenter", "coarse", "--no-report", "--quiet", "--db", db]) == 0


@pytest.fixture
def counted(cacapp: Callable[..., Ended], database_kind: str, record_url: str, request: pytest.FixtureRequest) -> Callable[..., Ended]:
    """The command line in a folder whose record holds the counted small slide."""
    copy_template(request, record_url, "counted_once" if database_kind == "sqlite" else "counted_template")
    return cacapp


def copy_template(request: pytest.FixtureRequest, record_url: str, fixture: str) -> None:
    """Puts a copy of a record in place of this test's; ``fixture`` gives a SQLite file, or the name of a PostgreSQL database."""
    template: Path | str = request.getfixturevalue(fixture)
    if isinstance(template, Path):
        with closing(sqlite3.connect(template)) as source, closing(sqlite3.connect(record_url)) as copy:
            source.backup(copy)  # with what is still in the write-ahead log
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = make_url(record_url).database
    assert name
    server.drop(name)
    server.create(name, template)


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


IDLE_PLUGIN = '''
from typing import ClassVar
from cacapp import Field, Prompter, Prompts, hookimpl

class {cls}(Prompter):
    """A prompter without prompts."""
    name: ClassVar[str] = "{name}"
    api_version: ClassVar[int] = 1
    wait_s: float = Field(1.0, ge=0, le=10, description="how long it does nothing, s")
    def prompt(self, dapi, pixel_size_um):
        return Prompts.empty()

@hookimpl
def cacapp_prompters():
    return [{cls}]
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a real distribution on the path: ``install("acme-fish", plugin="acme", name="acme-seeds")`` or with ``source``."""

    def installed(distribution: str, plugin: str, name: str = "idle", source: str | None = None, version: str = "1.2") -> None:
        site = tmp_path / distribution
        module = distribution.replace("-", "_") + "_" + tmp_path.name.replace("-", "_")
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[cacapp]\n{plugin} = {module}\n")
        (site / f"{module}.py").write_text(IDLE_PLUGIN.format(cls="Idle", name=name) if source is None else source)
        monkeypatch.syspath_prepend(str(site))

    return installed
