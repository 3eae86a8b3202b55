"""aicsimageio as a reader: asked only for what is installed, one plane at a time, with what Zeiss's metadata says."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from cacapp.exceptions import CacappError
from cacapp.readers import makers

ZEISS = """<ImageDocument><Metadata><Information><Image><Dimensions>
<Channels><Channel Id="Channel:0"><ExposureTime>20000000</ExposureTime></Channel><Channel Id="Channel:1"/></Channels>
<S><Scenes><Scene Index="0" Name="P1"><CenterPosition>4261.294,-8361.5</CenterPosition></Scene>
<Scene Index="1" Name="P2"><CenterPosition>here</CenterPosition></Scene></Scenes></S>
</Dimensions></Image></Information></Metadata></ImageDocument>"""


@pytest.mark.parametrize(
    ("installed", "suffixes"),
    [
        ({"aicspylibczi", "readlif"}, ()),
        ({"aicsimageio"}, ()),
        ({"aicsimageio", "aicspylibczi"}, (".czi",)),
        ({"aicsimageio", "mrc", "readlif"}, (".lif", ".dv", ".r3d")),
    ],
)
def test_it_reads_the_formats_of_which_everything_is_installed(
    installed: set[str], suffixes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(makers, "installed", lambda name: name in installed)
    assert makers.readable() == suffixes


def test_exposure_times_and_positions_of_zeiss_are_read_where_they_are_there() -> None:
    metadata: Any = ElementTree.fromstring(ZEISS)
    assert makers._from_czi(metadata, 0, 2) == ((20.0, None), (4261.294, -8361.5))
    assert makers._from_czi(metadata, 1, 1) == ((), (None, None))
    assert makers._from_czi("no XML", 0, 2) == ((), (None, None))


@pytest.mark.parametrize(("said", "taken"), [(0.1, 0.1), (1.0, None), (0.0, None), (None, None), (float("nan"), None), (-1.0, None)])
def test_an_edge_length_that_was_not_measured_is_none(said: float | None, taken: float | None) -> None:
    assert makers._measured(said) == taken


@pytest.mark.slow
def test_scenes_names_sizes_and_planes_are_those_of_the_file(tmp_path: Path) -> None:
    """With aicsimageio's reader of OME-TIFF, which needs nothing else."""
    pytest.importorskip("aicsimageio")
    pixels = np.random.default_rng(1).integers(0, 999, (2, 2, 3, 24, 32)).astype(np.uint16)
    size = {"PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.2, "PhysicalSizeYUnit": "µm"}
    with tifffile.TiffWriter(tmp_path / "f.ome.tif", ome=True) as writer:
        for planes in pixels:
            metadata = {"axes": "CZYX", "Channel": {"Name": ["DAPI", "red"]}, **size}
            writer.write(planes, photometric="minisblack", metadata=metadata)
    found = makers.AicsimageioReader().scenes(tmp_path / "f.ome.tif")
    assert [(s.channels, s.n_z, s.pixel_size_xy_um, s.dtype.name) for s in found] == [(("DAPI", "red"), 3, (0.2, 0.2), "uint16")] * 2
    for number in (1, 0):
        for channel, z in ((1, 2), (0, 0)):
            assert np.array_equal(found[number].read(channel, z), pixels[number, channel, z])


def test_whatever_a_library_raises_is_one_line_with_the_way_out() -> None:
    def fail() -> None:
        raise IndexError("list index\nout of range")

    with pytest.raises(CacappError, match=r"aicsimageio cannot read it \(IndexError: list index out of range\); export it as OME-TIFF"):
        makers._tried(fail)
