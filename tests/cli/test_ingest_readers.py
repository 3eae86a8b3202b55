"""Files of a plugin's reader from ingest to cells; a reader that lies or crashes costs its file; mixed slides are told."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from cacapp.frames import choose_reader

Cacapp = Callable[..., Any]

PLUGIN = """
import os
from typing import ClassVar
import numpy as np
from cacapp import Reader, Scene, hookimpl

class Npy(Reader):
    "Five channels that numpy saved."
    name: ClassVar[str] = "npy"
    api_version: ClassVar[int] = 1
    suffixes: ClassVar[tuple] = (".npy",)
    def scenes(self, path):
        pixels = np.load(path, mmap_mode="r")
        n, height, width = pixels.shape
        names = ("DAPI", "aqua", "green", "gold", "red")
        if "crash" in path.name:
            os._exit(9)
        if "wide" in path.name:
            width += 1
        if "names" in path.name:
            names = names[:3] + names[:2]
        def read(c, z):
            return np.asarray(pixels[c]) if "dtype" not in path.name else pixels[c].astype("f8")
        return [Scene("", "", pixels.dtype, height, width, names, read, pixel_size_xy_um=(0.12, 0.12))]

@hookimpl
def cacapp_readers():
    return [Npy]
"""


@pytest.fixture
def acme(install: Callable[..., None]) -> Iterator[None]:
    """The plugin acme-npy 1.0."""
    install("acme-npy", "acme-npy", source=PLUGIN, version="1.0")
    choose_reader.reader_named.cache_clear()
    yield
    choose_reader.reader_named.cache_clear()


def add(cacapp: Cacapp, *words: object) -> Any:
    return cacapp("ingest", *words, "--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100")


@pytest.mark.slow
@pytest.mark.sqlite_only
@pytest.mark.usefixtures("acme")
def test_a_plugins_format_is_read_again_in_worker_processes(cacapp: Cacapp, small_slide: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", tifffile.imread(small_slide / "frame00.ome.tif"))
    assert add(cacapp, tmp_path / "f.npy", "--db", tmp_path / "npy.db").code == 0
    assert cacapp("segment", "--segmenter", "coarse", "--workers", "1", "--db", tmp_path / "npy.db").code == 0
    with closing(sqlite3.connect(tmp_path / "npy.db")) as record:
        assert record.execute("SELECT name, reader, reader_version FROM frame").fetchall() == [("f", "npy", "acme-npy 1.0")]
        assert record.execute("SELECT count(*) > 0 FROM cell").fetchone() == (1,)


@pytest.mark.slow
@pytest.mark.sqlite_only
@pytest.mark.usefixtures("acme")
def test_a_reader_that_lies_or_crashes_costs_that_file_and_the_good_frames_go_on(cacapp: Cacapp, small_slide: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = tifffile.imread(small_slide / "frame00.ome.tif")
    for n, name in enumerate(("wide", "dtype", "names", "crash", "good")):
        np.save(folder / f"{name}.npy", np.roll(pixels, 7 * n, axis=1))
    ended = add(cacapp, folder)
    assert ended.code == 3
    said = {name: next(line for line in ended.lines("error") if f"{name}.npy" in line) for name in ("wide", "dtype", "names", "crash")}
    assert "channel 0, plane 0 must be uint16 of shape (" in said["wide"]
    assert "must be uint16 of shape (" in said["dtype"]
    assert "got float64 of shape" in said["dtype"]
    assert "are both DAPI" in said["names"]
    assert "its process was killed or crashed (exit code 9)" in said["crash"]
    assert all("'npy' (plugin 'acme-npy' of acme-npy 1.0)" in said[name] for name in ("wide", "dtype", "crash"))
    assert "1 frame added, 4 files refused" in ended.out
    left_out = add(cacapp, folder, "--no-plugin", "acme-npy", "--db", tmp_path / "other.db")
    assert left_out.code == 1
    assert "no images in this folder" in left_out.err


def test_a_set_of_which_a_file_is_missing_is_refused_by_its_name_and_whole_ones_go_on(
    cacapp: Cacapp, small_slide: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for frame in range(2):
        for name, plane in zip(
            ("DAPI", "aqua", "green", "gold", "red"), tifffile.imread(small_slide / f"frame0{frame}.ome.tif"), strict=True
        ):
            if (frame, name) != (1, "gold"):
                tifffile.imwrite(folder / f"f{frame}_{name}.tif", plane)
    ended = add(cacapp, folder)
    assert ended.code == 3
    (line,) = ended.lines("error")
    assert "f1_{channel}.tif: no channel for gold among those found: DAPI, aqua, green, red" in line
    assert "1 frame added, 1 file refused" in ended.out


def test_files_of_two_slides_that_are_given_for_one_are_told(cacapp: Cacapp, small_slide: Path, tmp_path: Path) -> None:
    for slide in ("S01", "S02"):
        (tmp_path / "both" / slide).mkdir(parents=True)
        for frame in range(2):
            pixels = np.roll(tifffile.imread(small_slide / f"frame0{frame}.ome.tif"), 9 if slide == "S02" else 0, axis=2)
            size = {"PhysicalSizeX": 0.12 if slide == "S01" else 0.2, "PhysicalSizeXUnit": "µm"}
            size |= {"PhysicalSizeY": size["PhysicalSizeX"], "PhysicalSizeYUnit": "µm"}
            metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "aqua", "green", "gold", "red"]}, **size}
            path = tmp_path / "both" / slide / f"frame{frame}.ome.tif"
            tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=metadata)
    ended = add(cacapp, tmp_path / "both")
    assert ended.code == 0
    assert "2 groups of files have frames of the same numbers (S01, S02): if these are several slides, ingest each with" in ended.err
    assert "frames of different pixel size: 0.12 µm (S01_frame0), 0.2 µm (S02_frame0); are they of one slide" in ended.err
    shutil.rmtree(tmp_path / "both" / "S02")
    assert "same numbers" not in add(cacapp, tmp_path / "both", "--db", tmp_path / "one.db").err
