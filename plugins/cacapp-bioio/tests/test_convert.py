"""Real files, read by the real bioio, as frames with nothing lost and nothing guessed."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cacapp_bioio.convert import main

NAMES = ["DAPI", "aqua", "green", "gold", "red"]


def planes(dtype: type = np.uint16, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape or (5, 48, 64)).astype(dtype)


def written(path: Path, pixels: np.ndarray, axes: str = "CYX", names: list[str] | None = None, size_um: float | None = 0.2) -> Path:
    metadata: dict[str, object] = {"axes": axes}
    if names:
        metadata["Channel"] = {"Name": names}
    if size_um:
        metadata |= {"PhysicalSizeX": size_um, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": size_um, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=metadata)
    return path


def ome(path: Path) -> ElementTree.Element:
    with tifffile.TiffFile(path) as file:
        assert file.ome_metadata is not None
        return ElementTree.fromstring(file.ome_metadata)  # noqa: S314 written just now


def test_pixels_names_and_pixel_size_are_kept_and_the_origin_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = planes()
    source = written(tmp_path / "frame01.ome.tif", pixels, names=NAMES)
    assert main([str(source), "--out", str(tmp_path / "out")]) == 0
    target = tmp_path / "out" / "frame01.ome.tif"
    assert capsys.readouterr().out.split() == [str(target)]
    assert np.array_equal(np.squeeze(tifffile.imread(target)), pixels)
    root = ome(target)
    space = {"o": root.tag[1:].split("}")[0]}
    assert [channel.get("Name") for channel in root.findall(".//o:Channel", space)] == NAMES
    found = root.find(".//o:Pixels", space)
    assert found is not None
    assert (float(found.get("PhysicalSizeX", 0)), found.get("PhysicalSizeXUnit")) == (0.2, "µm")
    assert hashlib.sha256(source.read_bytes()).hexdigest() in ElementTree.tostring(root, "unicode")


def test_where_no_pixel_size_is_known_none_is_written(tmp_path: Path) -> None:
    source = tmp_path / "plain.tif"
    tifffile.imwrite(source, planes(np.uint8, 48, 64))
    assert main([str(source), "--out", str(tmp_path / "out")]) == 0
    assert "PhysicalSize" not in ElementTree.tostring(ome(tmp_path / "out" / "plain.ome.tif"), "unicode")


def test_slices_stay_slices(tmp_path: Path) -> None:
    pixels = planes(np.uint16, 2, 3, 48, 64)
    source = written(tmp_path / "stack.ome.tif", pixels, "CZYX", ["DAPI", "red"])
    assert main([str(source), "--out", str(tmp_path / "out")]) == 0
    assert np.array_equal(tifffile.imread(tmp_path / "out" / "stack.ome.tif"), pixels)


def test_each_scene_is_a_frame(tmp_path: Path) -> None:
    source = tmp_path / "slide.ome.tif"
    with tifffile.TiffWriter(source, ome=True) as writer:
        for n in range(2):
            writer.write(planes() + n, photometric="minisblack", metadata={"axes": "CYX", "Name": f"field {n}", "Channel": {"Name": NAMES}})
    assert main([str(source), "--out", str(tmp_path / "out")]) == 0
    frames = sorted((tmp_path / "out").iterdir())
    assert len(frames) == 2
    assert [int(np.squeeze(tifffile.imread(frame))[0, 0, 0]) for frame in frames] == [int(planes()[0, 0, 0]) + n for n in range(2)]


@pytest.mark.parametrize(
    ("pixels", "axes", "said"),
    [
        (planes(np.uint16, 3, 1, 48, 64), "TCYX", "a time series of 3 points"),
        (planes(np.uint8, 48, 64).astype(np.float32), "YX", "pixels are float32; uint8 and uint16 are read"),
    ],
)
def test_what_cacapp_would_refuse_is_refused_here(
    pixels: np.ndarray, axes: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "odd.ome.tif", pixels, axes)
    assert main([str(source), "--out", str(tmp_path / "out")]) == 1
    line = capsys.readouterr().err
    assert said in line
    assert str(source) in line
    assert not list((tmp_path / "out").glob("*"))


def test_a_bad_file_is_one_line_and_the_next_is_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.tif").write_bytes(b"no image")
    good = written(tmp_path / "good.ome.tif", planes(), names=NAMES)
    assert main([str(tmp_path / "bad.tif"), str(tmp_path / "gone.czi"), str(good), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert [("bioio cannot read it" in told[0]), ("gone.czi: no such file" in told[1]), len(told)] == [True, True, 2]
    assert [frame.name for frame in (tmp_path / "out").iterdir()] == ["good.ome.tif"]


def test_nothing_is_written_over_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(tmp_path / "frame.ome.tif", planes(), names=NAMES)
    command = [str(source), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert main(command) == 1
    assert "is there already; give --force" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
