"""The reader of a file: cacapp's own first, then a plugin's, and never one in place of another without a word."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from cacapp import Reader, Scene, hookimpl
from cacapp.exceptions import CacappError
from cacapp.frames import BadFile, Readers, choose_reader, discover, open_frame
from cacapp.frames.file import unsupported_file
from cacapp.host import Host
from cacapp.types import Array, FrameSource

NAMES = ("DAPI", "red")
PLUGIN = """
import os
from pathlib import Path
from typing import ClassVar
import numpy as np
from cacapp import Reader, Scene, hookimpl

class Acme(Reader):
    "Raw planes of 12 x 16 px."
    name: ClassVar[str] = "acme"
    api_version: ClassVar[int] = 1
    suffixes: ClassVar[tuple] = (".acme", ".tif")
    def scenes(self, path):
        def read(c, z):
            return np.frombuffer(path.read_bytes(), "<u2").reshape(2, 12, 16)[c] {change}
        return [Scene("", "", np.dtype("uint16"), 12, 16, ("DAPI", "red"), read, pixel_size_xy_um=(0.2, 0.2))]

@hookimpl
def cacapp_readers():
    return [Acme]
"""


def raw(path: Path, seed: int = 1) -> Path:
    path.write_bytes(np.random.default_rng(seed).integers(0, 999, (2, 12, 16)).astype("<u2").tobytes())
    return path


@pytest.fixture
def module(tmp_path: Path, install: Callable[..., None]) -> Iterator[Path]:
    """The module of the plugin acme-formats 1.0, which is on the path."""
    install("acme-formats", "acme", source=PLUGIN.replace("{change}", ""), version="1.0")
    choose_reader.reader_named.cache_clear()
    yield next((tmp_path / "acme-formats").glob("*.py"))
    choose_reader.reader_named.cache_clear()


def found(*paths: Path, plugins: Callable[[], Host] | None = None, **options: Any) -> list[FrameSource | BadFile]:
    return list(discover(paths, required=NAMES, installed=Readers(plugins), **options))


def in_this_process(*classes: type[Reader]) -> Callable[[], Host]:
    """A host with these readers, each of a plugin of its own."""
    host = Host()
    for cls in classes:
        hook = staticmethod(hookimpl(specname="cacapp_readers")(lambda cls=cls: [cls]))
        host.register(type("Plugin", (), {"cacapp_readers": hook}), cls.name, f"{cls.name}-formats", "1.0")
    return lambda: host


class Here(Reader):
    """As the plugin, in this process; ``before`` is called before a plane is read."""

    name: ClassVar[str] = "here"
    api_version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".acme", ".acmes")
    before: ClassVar[Callable[[Path], None]] = staticmethod(lambda path: None)

    def scenes(self, path: Path) -> list[Scene]:
        def read(c: int, z: int) -> Array:
            type(self).before(path)
            file = path / "planes" if path.is_dir() else path
            return np.frombuffer(file.read_bytes(), "<u2").reshape(2, 12, 16)[c]

        return [Scene("", "", np.dtype("uint16"), 12, 16, NAMES, read)]


class There(Here):
    """Another one for the same files."""

    name: ClassVar[str] = "there"


@pytest.mark.slow
def test_a_frame_is_read_by_a_plugin_recorded_and_read_again_by_the_same(module: Path, tmp_path: Path, stack: Any, ome: Any) -> None:
    slide = tmp_path / "slide"
    slide.mkdir()
    raw(slide / "f01.acme")
    ome(slide / "f02.ome.tif", stack(NAMES), NAMES)
    first, second = found(slide, plugins=lambda: Host.discover(kinds=("reader",)))
    assert isinstance(first, FrameSource)
    assert isinstance(second, FrameSource), "a suffix of cacapp's own readers is theirs"
    assert (first.name, first.reader, first.reader_version) == ("f01", "acme", "acme-formats 1.0")
    assert (second.reader, str(second.reader_version).split()[0]) == ("tiff", "cacapp")
    red = np.frombuffer((slide / "f01.acme").read_bytes(), "<u2").reshape(2, 12, 16)[1]
    assert np.array_equal(open_frame(first).channel("red"), red)

    module.write_text(PLUGIN.replace("{change}", "* 2"))  # as a later version might
    choose_reader.reader_named.cache_clear()
    from cacapp.host import isolated

    isolated._close_all()
    with pytest.raises(CacappError, match=r"frame f01, channel red: .*its reader gives other pixels than at ingest"):
        open_frame(first).channel("red")


def test_a_reader_that_is_gone_is_named_with_its_package(tmp_path: Path) -> None:
    (source,) = found(raw(tmp_path / "f.acme"), plugins=in_this_process(Here))
    assert isinstance(source, FrameSource)
    with pytest.raises(CacappError, match=r"by the reader 'here' of here-formats, which is not installed: pip install here-formats"):
        open_frame(source).channel("red")


def test_two_readers_of_one_file_are_both_named(tmp_path: Path) -> None:
    (bad,) = found(raw(tmp_path / "f.acme"), plugins=in_this_process(Here, There))
    assert isinstance(bad, BadFile)
    assert "f.acme: two readers read it: 'here' (plugin 'here' of here-formats 1.0) and 'there'" in bad.error
    assert "--no-plugin" in bad.error


def test_a_folder_may_be_a_file_of_a_plugins_format(tmp_path: Path) -> None:
    (tmp_path / "slide" / "f.acmes").mkdir(parents=True)
    raw(tmp_path / "slide" / "f.acmes" / "planes")
    (one,) = found(tmp_path / "slide", plugins=in_this_process(Here))
    assert isinstance(one, FrameSource)
    assert one.name == "f"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.czi", "no installed reader reads .czi: "),
        ("a.lif", "cacapp-bioio setup lif"),
        ("a.vsi", "cacapp-bioio setup bioformats"),
        ("a.docx", "not a format that is read (.docx)"),
    ],
)
def test_a_format_without_a_reader_names_the_command_that_brings_one(tmp_path: Path, name: str, says: str) -> None:
    class Nothing(Here):
        """Reads none of these."""

        name: ClassVar[str] = "nothing"
        suffixes: ClassVar[tuple[str, ...]] = (".nothing",)

    (tmp_path / name).write_bytes(b"x")
    (bad,) = found(tmp_path / name, plugins=in_this_process(Nothing))
    assert isinstance(bad, BadFile)
    assert says in bad.error
    assert "export it as OME-TIFF" in bad.error


def test_where_aicsimageio_cannot_be_installed_its_extra_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cacapp.frames.file.AICSIMAGEIO_BELOW", (99,))
    assert "pip install 'cacapp[lif]', or pip install cacapp-bioio" in str(unsupported_file(".lif"))
    monkeypatch.setattr("cacapp.frames.file.AICSIMAGEIO_BELOW", (3,))
    assert "no installed reader reads .lif: pip install cacapp-bioio, then: cacapp-bioio setup lif" in str(unsupported_file(".lif"))


def test_a_plugin_that_could_not_be_loaded_is_named_where_it_may_be_missed(tmp_path: Path) -> None:
    host = Host()
    host.register(object(), "broken", "broken-formats", "1.0")
    (tmp_path / "a.broken").write_bytes(b"x")
    (bad,) = found(tmp_path / "a.broken", plugins=lambda: host)
    assert isinstance(bad, BadFile)
    assert "not loaded: plugin 'broken' of broken-formats 1.0: implements no hook" in bad.error


def test_a_file_that_is_written_to_while_it_is_read_is_refused_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path) -> None:
        if path.name == "f1.acme":
            raw(path, seed=2)
            os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))

    for n in (1, 2):
        raw(tmp_path / f"f{n}.acme", seed=5 + n)
    monkeypatch.setattr(Here, "before", staticmethod(write))
    bad, good = found(tmp_path, plugins=in_this_process(Here))
    assert isinstance(bad, BadFile)
    assert isinstance(good, FrameSource)
    assert bad.error == "f1.acme: changed while it was read; wait until it is written, then start again"


def test_a_file_that_changes_while_a_later_step_reads_it_gives_no_pixels(tmp_path: Path, stack: Any, ome: Any) -> None:
    path = ome(tmp_path / "f.ome.tif", stack(NAMES), NAMES)
    (source,) = found(path)
    assert isinstance(source, FrameSource)
    frame = open_frame(source)
    frame.channel("DAPI")
    ome(path, stack(NAMES) + 1, NAMES)
    with pytest.raises(CacappError, match=r"frame f, channel red: .*changed while it was read"):
        frame.channel("red")


def test_plugins_are_loaded_only_for_a_file_that_none_of_cacapps_readers_knows(tmp_path: Path, stack: Any, ome: Any) -> None:
    def never() -> Host:
        raise AssertionError("plugins were loaded")

    ome(tmp_path / "f.ome.tif", stack(NAMES), NAMES)
    (tmp_path / "g.czi").write_bytes(b"x")
    (tmp_path / ".hidden.txt").write_bytes(b"x")
    assert [type(item) for item in found(tmp_path / "f.ome.tif", plugins=never)] == [FrameSource]
