"""Equal pixels are one field, whatever the file; another patient's are an error; a stated pixel size is recorded with its author."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from sqlmodel import col, select

from cacapp.db.engine.session import open_database
from cacapp.db.tables import FrameRow
from cacapp.frames.same_pixels import pixels_sha256

SAMPLE = Path(__file__).parents[2] / "sample_slides"
NAMES = ["DAPI", "SpectrumAqua", "SpectrumGreen", "SpectrumGold", "SpectrumRed"]
Cacapp = Callable[..., Any]


def saved(path: Path, planes: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    tifffile.imwrite(
        path,
        planes,
        ome=True,
        photometric="minisblack",
        metadata={"axes": "CYX", "Channel": {"Name": NAMES}, "PhysicalSizeX": 6.45, "PhysicalSizeY": 6.45},
        **options,
    )
    return path


def add(cacapp: Cacapp, folder: Path, patient: str, slide: str, *more: str) -> Any:
    return cacapp("ingest", folder, "--patient", patient, "--slide", slide, "--blood-volume-ul", "100", *more)


@pytest.fixture
def planes() -> np.ndarray:
    return tifffile.imread(SAMPLE / "S02" / "frame00.ome.tif")


@pytest.mark.parametrize(
    "again",
    [
        lambda path, planes: saved(path, planes, compression="zlib"),
        lambda path, planes: saved(path, (planes * 16).astype(np.uint16)),
        lambda path, planes: saved(path, planes.astype(">u2"), byteorder=">"),
    ],
)
def test_a_field_saved_again_is_refused_by_name_and_the_others_are_processed(
    cacapp: Cacapp, tmp_path: Path, planes: np.ndarray, again: Any
) -> None:
    saved(tmp_path / "in" / "a.ome.tif", planes)
    again(tmp_path / "in" / "b.ome.tif", planes)
    saved(tmp_path / "in" / "c.ome.tif", planes[:, :, ::-1])
    ended = add(cacapp, tmp_path / "in", "P", "S")
    assert ended.code == 3
    assert "b.ome.tif has in channel DAPI the same pixels as frame a of slide S, patient P; leave one out" in ended.err
    assert "2 frames added, 1 file refused" in ended.out
    again(tmp_path / "other" / "d.ome.tif", planes)
    assert "same pixels as frame a of slide S" in add(cacapp, tmp_path / "other", "P", "S2").err


def test_another_patients_field_stops_the_slide_until_someone_says_why(cacapp: Cacapp, tmp_path: Path, planes: np.ndarray) -> None:
    assert add(cacapp, saved(tmp_path / "1" / "a.ome.tif", planes), "P1", "S1").code == 0
    saved(tmp_path / "2" / "b.ome.tif", planes, compression="zlib")
    saved(tmp_path / "2" / "c.ome.tif", planes[:, ::-1])
    ended = add(cacapp, tmp_path / "2", "P2", "S2")
    assert ended.code == 1
    assert "same pixels as frame a of slide S1, patient P1; one of them is in the wrong place" in ended.err
    assert cacapp("patients", "--json").json == [] or all(p["patient"] != "P2" for p in cacapp("patients", "--json").json)
    assert add(cacapp, tmp_path / "2", "P2", "S2", "--same-pixels", "control field of the course").code == 0
    with open_database(None).reading() as session:
        notes = [f.same_pixels for f in session.exec(select(FrameRow).order_by(col(FrameRow.name)))]
    assert notes[0] is None
    assert notes[1].endswith(": control field of the course")
    assert "patient P1; allowed by " in notes[1]


def test_a_folder_that_another_patient_has_already_is_one_message(cacapp: Cacapp, tmp_path: Path, planes: np.ndarray) -> None:
    for name, change in (("a", 1), ("b", -1), ("c", 2)):
        saved(tmp_path / "1" / f"{name}.ome.tif", planes[:, ::change])
    assert add(cacapp, tmp_path / "1", "P1", "S1").code == 0
    shutil.copytree(tmp_path / "1", tmp_path / "2")
    ended = add(cacapp, tmp_path / "2", "P2", "S2")
    assert ended.code == 1
    errors = ended.lines("error")
    assert len(errors) == 2, errors
    assert "3 files have the same fault; the first is" in errors[0]
    assert "is frame a of slide S1 already; it cannot belong to slide S2 too" in errors[0]
    assert "every frame was refused" in errors[1]


def test_a_wrong_pixel_size_is_named_and_a_stated_one_recorded(cacapp: Cacapp, tmp_path: Path, planes: np.ndarray) -> None:
    path = saved(tmp_path / "a.ome.tif", planes)
    ended = add(cacapp, path, "P", "S")
    assert "pixel size 6.45 µm: a nucleus of 10 µm would be 1.55 px wide" in " ".join(ended.err.split())
    segmented = cacapp("segment", "S", "--segmenter", "coarse")
    assert "µm wide at the pixel size of 6.45 µm" in " ".join(segmented.err.split())
    assert add(cacapp, path, "P", "S", "--pixel-size-um", "0.12").code == 0
    assert "µm wide" not in cacapp("segment", "S", "--segmenter", "coarse").err
    assert add(cacapp, path, "P", "S").code == 0, "what a person stated stays"
    with open_database(None).reading() as session:
        frame = session.exec(select(FrameRow)).one()
    assert frame.pixel_size_um == 0.12
    assert frame.pixel_size_source.startswith("stated by ")
    assert frame.pixel_size_source.endswith("the file says 6.45 x 6.45 µm")
    assert add(cacapp, path, "P", "S", "--pixel-size-um", "-1").code == 2


def test_a_plane_of_one_value_correlates_with_no_other() -> None:
    assert pixels_sha256(np.full((9, 9), 3, np.uint8)) is None
    noise = np.random.default_rng(0).integers(0, 255, (30, 40), np.uint8)
    assert pixels_sha256(noise) == pixels_sha256(noise.astype(np.uint16)) == pixels_sha256(noise.astype(np.uint16) * 257)
    assert pixels_sha256(noise) != pixels_sha256(noise.reshape(40, 30)) != pixels_sha256(noise[::-1].copy())
