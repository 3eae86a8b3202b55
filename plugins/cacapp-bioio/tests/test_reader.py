"""A CZI is read by bioio in its own environment, which `make plugins` makes first (CACAPP_BIOIO); this one has no bioio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cacapp_bioio import environment
from cacapp_bioio.command import main
from cacapp_bioio.reader import Bioio

from cacapp.exceptions import CacappError
from cacapp.frames import BadFile, Readers, discover, open_frame
from cacapp.frames.file import MAKERS
from cacapp.host import Host
from cacapp.types import FrameSource

TRUE = np.random.default_rng(7).integers(90, 4000, (2, 360, 400)).astype(np.uint16)
"""The pixels of the example that the environment writes."""


@pytest.fixture
def czi(tmp_path: Path) -> Path:
    if ".czi" not in Bioio.suffixes:
        pytest.fail("bioio's environment is missing: run make plugins PLUGINS=cacapp-bioio, or cacapp-bioio setup czi lif")
    return Bioio().examples(tmp_path)[0]


def test_a_czi_is_a_frame_with_its_names_pixel_size_and_pixels(czi: Path) -> None:
    (source,) = discover([czi], required=("DAPI", "red"), installed=Readers(lambda: Host.of("cacapp-bioio", apart=True)))
    assert isinstance(source, FrameSource)
    assert (source.name, source.reader, source.reader_version) == ("example", "bioio", "cacapp-bioio 0.2.0")
    assert source.pixel_size_um == pytest.approx(0.2)
    frame = open_frame(source)
    assert np.array_equal(frame.channel("DAPI"), TRUE[0])
    assert np.array_equal(frame.channel("red"), TRUE[1])


def test_a_damaged_file_is_one_line_and_the_next_is_read(czi: Path) -> None:
    czi.with_name("bad.czi").write_bytes(czi.read_bytes()[:5000])
    found = list(discover([czi.parent], required=("DAPI", "red"), installed=Readers(lambda: Host.of("cacapp-bioio", apart=True))))
    assert [type(item) for item in found] == [BadFile, FrameSource]
    line = found[0].error if isinstance(found[0], BadFile) else ""
    assert line.startswith("bad.czi: 'bioio' (plugin 'bioio' of cacapp-bioio 0.2.0): bioio cannot read it (")
    assert "export it as OME-TIFF" in line


def test_what_cacapp_says_of_a_format_that_nothing_reads_is_true() -> None:
    assert [(suffix, name) for suffix, name in MAKERS.items() if suffix not in environment.FORMATS[name][1]] == []


def test_without_an_environment_it_reads_nothing_and_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.FOLDER_VARIABLE, str(tmp_path / "none"))
    assert environment.suffixes() == ()
    (tmp_path / "a.czi").write_bytes(b"x")
    with pytest.raises(CacappError, match="has no environment with bioio: cacapp-bioio setup czi"):
        Bioio().scenes(tmp_path / "a.czi")


def test_an_environment_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(environment.FOLDER_VARIABLE, str(tmp_path / "made"))
    monkeypatch.setattr(environment, "BIOIO", "no-such-package-of-bioio ; python_version > '3'")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert main(["setup", "czi"]) == 1
    assert "error: czi: cannot be installed in" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
    assert main(["setup", "word"]) == 2
    assert "setup word: choose from czi, lif" in capsys.readouterr().err
