"""A reader that lies about a file, fails, crashes or hangs costs that file, in one line that names the reader and the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from cacapp import Reader, Scene, hookimpl
from cacapp.exceptions import CacappError
from cacapp.host import Host, PluginSettings, guard_reader, reader_of

PLANES = np.random.default_rng(1).integers(0, 999, (2, 12, 16)).astype(np.uint16)
TRUE = Scene("", "", np.dtype("uint16"), 12, 16, ("DAPI", "red"), lambda c, z: PLANES[c], pixel_size_xy_um=(0.2, 0.2))


class Acme(Reader):
    """Gives what ``found`` is."""

    name: ClassVar[str] = "acme"
    api_version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".acme",)
    found: ClassVar[Any] = None

    def scenes(self, path: Path) -> list[Scene]:
        found = type(self).found
        return found() if callable(found) else found  # type: ignore[no-any-return]


class Plugin:
    @staticmethod
    @hookimpl
    def cacapp_readers() -> list[type[Reader]]:
        return [Acme]


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Any], list[Scene]]:
    """Read a file with a reader that gives ``found``."""
    host = Host()
    host.register(Plugin, "acme", "acme-formats", "1.2")
    (tmp_path / "a.acme").write_bytes(b"a")
    reader = reader_of(host.find("reader", "acme"))

    def read(found: Any) -> list[Scene]:
        monkeypatch.setattr(Acme, "found", found)
        return guard_reader.scenes(reader, tmp_path / "a.acme")

    return read


def lie(**fields: Any) -> list[Scene]:
    return [replace(TRUE, **fields)]


def raises() -> list[Scene]:
    raise ZeroDivisionError("no luck")


def test_a_true_scene_passes_with_its_planes_as_copies(acme: Callable[[Any], list[Scene]]) -> None:
    (scene,) = acme([TRUE])
    plane = scene.read(1, 0)
    assert np.array_equal(plane, PLANES[1])
    assert not np.shares_memory(plane, PLANES)
    assert (scene.channels, scene.pixel_size_xy_um, scene.key) == (("DAPI", "red"), (0.2, 0.2), "")


def test_planes_of_the_other_byte_order_come_in_the_machines(acme: Callable[[Any], list[Scene]]) -> None:
    (scene,) = acme(lie(dtype=np.dtype(">u2"), read=lambda c, z: PLANES[c].astype(">u2")))
    assert scene.read(0, 0).dtype == np.dtype("uint16")
    assert np.array_equal(scene.read(0, 0), PLANES[0])


def test_several_scenes_get_names_that_files_may_have(acme: Callable[[Any], list[Scene]]) -> None:
    found = acme([replace(TRUE, key="TileScan 1/Position 2"), replace(TRUE, key="TileScan 1/Position 3")])
    assert [scene.title for scene in found] == ["TileScan-1-Position-2", "TileScan-1-Position-3"]
    assert [scene.key for scene in found] == ["TileScan 1/Position 2", "TileScan 1/Position 3"]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "scenes() must return a list of Scene, at least one, got None"),
        ([], "at least one, got []"),
        (["a scene"], "scenes()[0] must be a Scene, got str"),
        (lie(channels=()), "scenes()[0].channels must be a tuple of printable names"),
        (lie(channels=["DAPI", "red"]), "scenes()[0].channels must be a tuple"),
        (lie(channels=("DAPI\nerror: gone", "red")), "printable names"),
        (lie(channels=("x" * 1000,)), "printable names"),
        (lie(key="\x1b[2J"), "scenes()[0].key must be printable text"),
        (lie(height_px=0), "height_px must be a whole number above 0"),
        (lie(width_px=16.0), "width_px must be a whole number above 0"),
        (lie(width_px=2**40), "more than the"),
        (lie(n_z=-1), "n_z must be a whole number from 1"),
        (lie(n_time=10**9), "n_time must be a whole number from 1"),
        (lie(dtype="uint16"), "dtype must be a numpy dtype"),
        (lie(dtype=np.dtype(object)), "dtype must be a numpy dtype of numbers"),
        (lie(pixel_size_xy_um=(float("nan"), 0.2)), "pixel_size_xy_um must be two numbers above 0"),
        (lie(pixel_size_xy_um=(-0.2, -0.2)), "pixel_size_xy_um must be two numbers above 0"),
        (lie(pixel_size_xy_um=(0.2,)), "pixel_size_xy_um must be two numbers above 0"),
        (lie(stage_xy_um=("here", None)), "stage_xy_um must be two numbers"),
        (lie(exposures_ms=(20.0,)), "exposures_ms must be empty or have 2 entries, got 1"),
        (lie(slices=("a", "b")), "slices must be empty or have 1 entries"),
        (lie(read=None), "read must be a function"),
        ([TRUE, TRUE], "two scenes of one key"),
        (raises, "failed: ZeroDivisionError: no luck"),
    ],
)
def test_what_cannot_be_is_refused_by_field(acme: Callable[[Any], list[Scene]], found: Any, why: str) -> None:
    with pytest.raises(CacappError) as caught:
        acme(found)
    line = str(caught.value)
    assert why in line
    assert "\n" not in line
    assert line.startswith("'acme' (plugin 'acme' of acme-formats 1.2): ") or why == "more than the"
    assert "export" in line or "crop it" in line


@pytest.mark.parametrize(
    ("plane", "got"),
    [
        (PLANES[0, :5], "got uint16 of shape (5, 16)"),
        (PLANES[0].T, "got uint16 of shape (16, 12)"),
        (PLANES[0].astype(np.uint8), "got uint8 of shape (12, 16)"),
        (PLANES, "got uint16 of shape (2, 12, 16)"),
        (PLANES[0].tolist(), "got list"),
        (None, "got NoneType"),
    ],
)
def test_a_plane_of_another_shape_or_dtype_is_refused_when_it_is_read(acme: Callable[[Any], list[Scene]], plane: Any, got: str) -> None:
    (scene,) = acme(lie(read=lambda c, z: plane))
    with pytest.raises(CacappError, match="channel 1, plane 0 must be uint16 of shape") as caught:
        scene.read(1, 0)
    assert got in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"suffixes": "czi"}, "suffixes must be a tuple of endings in lower case"),
        ({"suffixes": (".CZI",)}, "suffixes must be a tuple of endings in lower case"),
        ({"suffixes": ("czi",)}, "suffixes must be a tuple of endings in lower case"),
    ],
)
def test_a_reader_without_usable_suffixes_is_a_problem_of_its_plugin(fields: dict[str, Any], why: str) -> None:
    wrong = type("Wrong", (Acme,), fields)
    host = Host()
    host.register(type("Its", (), {"cacapp_readers": staticmethod(hookimpl(specname="cacapp_readers")(lambda: [wrong]))}), "acme")
    assert [r.name for r in host.algorithms("reader")] == []
    assert why in str(host.problems[0])


INSTALLED = """
import os, signal, time
from typing import ClassVar
import numpy as np
from cacapp import Reader, Scene, hookimpl

class Trouble(Reader):
    "Behaves by the file's name."
    name: ClassVar[str] = "trouble"
    api_version: ClassVar[int] = 1
    suffixes: ClassVar[tuple] = (".acme",)
    def scenes(self, path):
        if "hang" in path.name:
            while True: time.sleep(1)
        if "crash" in path.name:
            os.kill(os.getpid(), signal.SIGSEGV)
        def read(c, z):
            if "late" in path.name:
                os._exit(3)
            return np.full((12, 16), 7 + c, np.uint16)
        return [Scene("", "", np.dtype("uint16"), 12, 16, ("DAPI", "red"), read, stage_xy_um=(1.5, None))]

@hookimpl
def cacapp_readers():
    return [Trouble]
"""


@pytest.fixture
def installed(tmp_path: Path, install: Callable[..., None]) -> Path:
    """A folder, with the plugin acme-trouble 1.0 on the path."""
    install("acme-trouble", "acme-trouble", source=INSTALLED, version="1.0")
    return tmp_path


@pytest.mark.slow
def test_an_installed_reader_runs_in_a_process_of_its_own_that_may_crash_and_hang(installed: Path) -> None:
    settings = {"acme-trouble": PluginSettings(isolation="process", timeout_s=2)}
    found = Host.discover(settings=settings, kinds=("reader",)).find("reader", "trouble")
    reader = reader_of(found)
    said = {}
    for name in ("hang", "crash", "late", "good"):
        path = installed / f"{name}.acme"
        path.write_bytes(b"x")
        try:
            (scene,) = guard_reader.scenes(reader, path)
            said[name] = str(scene.read(1, 0)[0, 0])
            assert scene.stage_xy_um == (1.5, None)
        except CacappError as error:
            said[name] = str(error)
    assert "took longer than 2 s and was stopped; export it as OME-TIFF" in said["hang"]
    assert "crashed (SIGSEGV); export it" in said["crash"]
    assert "crashed (exit code 3)" in said["late"]
    assert all("'trouble' (plugin 'acme-trouble' of acme-trouble 1.0)" in said[name] for name in ("hang", "crash", "late"))
    assert said["good"] == "8"


def test_it_does_so_without_being_told(installed: Path) -> None:
    reader = reader_of(Host.discover(kinds=("reader",)).find("reader", "trouble"))
    path = installed / "crash.acme"
    path.write_bytes(b"x")
    with pytest.raises(CacappError, match=r"crashed \(SIGSEGV\)"):
        guard_reader.scenes(reader, path)
