"""What cannot be trusted is refused in one line that names the file and the way out; the good frames go on."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from cacapp.exceptions import CacappError, UsageError
from cacapp.frames import BadFile, discover, open_frame
from cacapp.types import CHANNELS, FrameSource
from tests.readers import zarr_2

Make = Callable[..., Any]


@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"bigtiff": True}])
@pytest.mark.parametrize("part", [0.001, 0.01, 0.2, 0.6, 0.95, 0.999])
def test_a_truncated_ome_tiff_is_refused_at_ingest(
    tmp_path: Path, stack: Make, ome: Make, refusal: Make, how: dict[str, Any], part: float
) -> None:
    path = ome(tmp_path / "f.ome.tif", stack(), **how)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert refusal(path).startswith(("f.ome.tif: truncated", "f.ome.tif: not a TIFF"))


@pytest.mark.parametrize("how", [{"imagej": True}, {"metadata": None}, {}])
@pytest.mark.parametrize("part", [0.3, 0.95])
def test_a_truncated_plain_stack_is_refused_at_ingest(tmp_path: Path, stack: Make, refusal: Make, how: dict[str, Any], part: float) -> None:
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, stack(), **how)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert "f.tif: truncated" in refusal(path, channels={name: f"#{i}" for i, name in enumerate(CHANNELS)})


def test_a_plane_that_is_packed_in_another_way_than_the_others_is_refused(tmp_path: Path, stack: Make, ome: Make, refusal: Make) -> None:
    """The first plane has a predictor in the place of its number of samples, which is 1 where it is not told."""
    path = ome(tmp_path / "f.ome.tif", stack(), compression="zstd")
    with tifffile.TiffFile(path) as tiff:
        entry = tiff.pages[0].tags["SamplesPerPixel"].offset
    content = bytearray(path.read_bytes())
    struct.pack_into("<HHIH", content, entry, 317, 3, 1, 2)
    path.write_bytes(content)
    assert "packed in different ways" in refusal(path)


def test_a_truncated_stack_with_one_directory_is_refused(tmp_path: Path, stack: Make, one_frame: Make, refusal: Make) -> None:
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, stack(), imagej=True, metadata={"axes": "CYX", "Labels": list(CHANNELS)})
    with tifffile.TiffFile(path) as tiff:
        end = tiff.pages[0].offset + 2 + 12 * len(tiff.pages[0].tags)
        last_pixel = tiff.series[0].dataoffset + tiff.series[0].nbytes
    content = bytearray(path.read_bytes())
    content[end : end + 4] = bytes(4)
    path.write_bytes(content[:last_pixel])
    one_frame(path)
    path.write_bytes(content[: last_pixel - 1])
    assert "f.tif: truncated" in refusal(path)


def test_pixels_that_do_not_decode_give_one_line(tmp_path: Path, stack: Make, ome: Make, one_frame: Make) -> None:
    path = ome(tmp_path / "f.ome.tif", stack(), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages[2].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start : start + 20] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(CacappError, match=r"frame f, channel green: .*f\.ome\.tif: pixels cannot be decoded") as refused:
        open_frame(one_frame(path)).channel("green")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".png", ".jpg"])
@pytest.mark.parametrize(("content", "says"), [(b"", "empty (0 bytes)"), (b"this is a text file\n" * 20, "whatever its name says")])
def test_an_empty_file_and_a_text_file_with_an_image_name_are_refused(
    tmp_path: Path, refusal: Make, suffix: str, content: bytes, says: str
) -> None:
    path = tmp_path / f"f{suffix}"
    path.write_bytes(content)
    assert says in refusal(path)
    assert says in refusal(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_truncated_export_and_its_frame_are_refused(tmp_path: Path, plane: Make, refusal: Make, suffix: str, part: float) -> None:
    for name in CHANNELS:
        cv2.imwrite(str(tmp_path / f"f_{name}{suffix}"), plane(name, "uint8"))
    path = tmp_path / f"f_gold{suffix}"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert f"f_gold{suffix}: truncated or damaged" in refusal(tmp_path)


def test_a_png_with_a_flipped_bit_is_refused(tmp_path: Path, plane: Make, refusal: Make) -> None:
    for name in CHANNELS:
        cv2.imwrite(str(tmp_path / f"f_{name}.png"), plane(name))
    path = tmp_path / "f_red.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "f_red.png: truncated or damaged" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["DAPI", "aqua", "green", "gold"], "no channel for red among those found: DAPI, aqua, green, gold"),
        (["DAPI", "aqua", "green", "gold", "red", "Cy7"], "extra channel Cy7"),
        (["DAPI", "Hoechst", "aqua", "green", "gold", "red"], "DAPI (#0) and Hoechst (#1) are both DAPI"),
        (None, "5 channels have no names"),
    ],
)
def test_channels_that_do_not_settle_are_refused_with_the_flag(
    tmp_path: Path, stack: Make, ome: Make, refusal: Make, names: list[str] | None, says: str
) -> None:
    line = refusal(ome(tmp_path / "f.ome.tif", stack(names or CHANNELS), names))
    assert line.startswith("f.ome.tif: ")
    assert says in line
    assert "--channels " in line


@pytest.mark.parametrize("dtype", ["bool", "int16", "int32", "uint32", "float32", "float64"])
def test_other_pixel_types_are_refused_by_name(tmp_path: Path, ome: Make, refusal: Make, dtype: str) -> None:
    line = refusal(ome(tmp_path / "f.ome.tif", np.ones((5, 24, 40), dtype)))
    assert f"pixels are {dtype}; uint8 and uint16 are read: convert to 16-bit" in line


def test_nan_is_reported(tmp_path: Path, ome: Make, refusal: Make) -> None:
    image = np.ones((5, 24, 40), np.float32)
    image[3, 4, 5] = np.nan
    assert "pixels are float32 with NaN" in refusal(ome(tmp_path / "f.ome.tif", image))


def test_a_time_series_is_refused(tmp_path: Path, stack: Make, ome: Make, refusal: Make) -> None:
    path = ome(tmp_path / "f.ome.tif", np.stack([stack()] * 3), axes="TCYX")
    assert "f.ome.tif: a time series of 3 points" in refusal(path, projection="max")


def test_pixels_that_are_not_square_are_refused(tmp_path: Path, stack: Make, ome: Make, refusal: Make, one_frame: Make) -> None:
    sizes = {"PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.102, "PhysicalSizeYUnit": "µm"}
    assert "not square (0.1 x 0.102 µm)" in refusal(ome(tmp_path / "f.ome.tif", stack(), metadata=sizes))
    assert one_frame(ome(tmp_path / "g.ome.tif", stack(), metadata={**sizes, "PhysicalSizeY": 0.1005})).pixel_size_um == 0.1


def test_a_tiff_that_declares_absurd_sizes_is_refused_before_it_is_allocated(tmp_path: Path, refusal: Make) -> None:
    tags = [(256, 4, 1, 2**31), (257, 4, 1, 2**31), (258, 3, 1, 16), (259, 3, 1, 8), (273, 4, 1, 8), (277, 3, 1, 1), (279, 4, 1, 4)]
    ifd = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags) + struct.pack("<I", 0)
    path = tmp_path / "bomb.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 12) + b"\0" * 4 + ifd)
    assert "bomb.tif: declares an image of 2147483648 x 2147483648 px" in refusal(path)


def test_a_png_that_declares_absurd_sizes_is_refused_before_it_is_allocated(tmp_path: Path, refusal: Make) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**30, 2**30, 8, 0, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IEND", b""))
    assert "bomb.png: declares an image of" in refusal(tmp_path / "bomb.png")


def test_one_part_of_an_ome_tiff_set_is_refused(tmp_path: Path, stack: Make, ome: Make, refusal: Make) -> None:
    path = ome(tmp_path / "f.ome.tif", stack())
    xml = tifffile.tiffcomment(path)
    parts = "".join(
        f'<TiffData FirstC="{i}" IFD="0" PlaneCount="1"><UUID FileName="c{i}.ome.tif">urn:uuid:{i}</UUID></TiffData>' for i in range(5)
    )
    at = xml.index("<TiffData")
    tifffile.tiffcomment(path, (xml[:at] + parts + xml[xml.index("</Pixels>") :]).encode())
    assert "f.ome.tif: one of 5 files of an OME-TIFF set" in refusal(path)


def test_ome_xml_that_is_broken_leaves_channels_without_names(tmp_path: Path, stack: Make, ome: Make, refusal: Make) -> None:
    path = ome(tmp_path / "f.ome.tif", stack())
    tifffile.tiffcomment(path, tifffile.tiffcomment(path).replace("SizeZ=", "SizeQ=").encode())
    assert "f.ome.tif: " in refusal(path)


def _drop_chunk(path: Path) -> None:
    (path / "0/2/1/0").unlink()


def _cut_chunk(path: Path) -> None:
    chunk = path / "0/2/1/0"
    chunk.write_bytes(chunk.read_bytes()[:40])


def _break_array(path: Path) -> None:
    (path / "0/.zarray").write_text("{not json")


def _drop_array(path: Path) -> None:
    (path / "0/.zarray").unlink()


def _break_attributes(path: Path) -> None:
    (path / ".zattrs").write_text("[]")


def _rename_level(path: Path) -> None:
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"][0]["path"] = "s0"
    (path / ".zattrs").write_text(json.dumps(attributes))


def _version_3(path: Path) -> None:
    (path / "zarr.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_drop_chunk, "1 of 30 chunks are missing or cut short (2/1/0 ...)"),
        (_cut_chunk, "f.zarr: "),
        (_break_array, "corrupt: .zarray"),
        (_drop_array, "corrupt: 0/.zarray is missing"),
        (_break_attributes, "no OME-Zarr image"),
        (_rename_level, "corrupt: s0/.zarray is missing"),
        (_version_3, "no OME-Zarr image: its metadata has no multiscales"),
    ],
)
@pytest.mark.parametrize("compressor", [zarr_2.BLOSC, None])
def test_a_damaged_zarr_folder_is_refused_at_ingest(
    tmp_path: Path, stack: Make, refusal: Make, damage: Callable[[Path], None], says: str, compressor: Any
) -> None:
    path = zarr_2.write(tmp_path / "f.zarr", stack(), compressor=compressor)
    damage(path)
    assert says in refusal(path)


def test_the_good_frames_of_a_batch_are_analysed(tmp_path: Path, stack: Make, ome: Make) -> None:
    ome(tmp_path / "a.ome.tif", stack())
    (tmp_path / "b.ome.tif").write_bytes(b"")
    ome(tmp_path / "c.ome.tif", stack())
    found = list(discover([tmp_path, tmp_path / "gone.tif"]))
    assert [type(f) for f in found] == [FrameSource, BadFile, FrameSource, BadFile]
    assert isinstance(found[3], BadFile)
    assert found[3] == BadFile(str(tmp_path / "gone.tif"), "gone.tif: no such file or folder")


def test_folders_leave_out_label_images_hidden_files_and_what_is_no_image(tmp_path: Path, stack: Make, ome: Make, refusal: Make) -> None:
    (tmp_path / "sub").mkdir()
    ome(tmp_path / "sub/a.ome.tif", stack())
    tifffile.imwrite(tmp_path / "a_labels.tif", np.zeros((24, 40), np.int32))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.tif").write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/x.tif").write_bytes(b"x")
    assert [type(f) for f in discover([tmp_path])] == [FrameSource]
    assert "pixels are int32" in refusal(tmp_path / "a_labels.tif")
    assert "notes.txt: not a format that is read (.txt)" in refusal(tmp_path / "notes.txt")


def test_a_microscopes_own_format_is_refused_even_in_a_folder(tmp_path: Path, refusal: Make) -> None:
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE")
    line = refusal(tmp_path)
    assert "a.czi: no installed reader reads .czi: " in line


def test_a_folder_without_images_is_refused(tmp_path: Path, refusal: Make) -> None:
    assert "no images in this folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"projection": "mean"},
        {"channels": {"pink": "red"}},
        {"pattern": "{frame}.tif"},
        {"pattern": "{frame}_{channel}_{well}.tif"},
        {"pattern": "{frame}_{frame}_{channel}.tif"},
    ],
)
def test_wrong_options_are_usage_errors_at_once(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--"):
        discover([tmp_path], **wrong)


def test_no_paths_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no files given"):
        discover([])
