"""A TIFF's planes are its own, each where the metadata of its program says, whatever order and names it has."""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from cacapp.frames import open_frame
from cacapp.frames.choose_reader import scenes_of
from cacapp.types import CHANNELS, Array

Make = Callable[..., Any]
HEIGHT, WIDTH = 24, 40


def pages(path: Path, planes: Sequence[Array], description: str | None = None, **options: Any) -> Path:
    with tifffile.TiffWriter(path, **{k: options.pop(k) for k in ("byteorder", "bigtiff") if k in options}) as writer:
        for i, plane in enumerate(planes):
            given = {"photometric": "minisblack", "metadata": None, "contiguous": False, **options}
            writer.write(plane, description=description if i == 0 else None, **given)
    return path


def xml(tiff_data: str, order: str = "XYCZT", n_z: int = 1, uuid: str = "", size_x: int = WIDTH) -> str:
    channels = "".join(f'<Channel ID="Channel:0:{i}" Name="{n}" SamplesPerPixel="1"/>' for i, n in enumerate(CHANNELS))
    root = f' UUID="urn:uuid:{uuid}"' if uuid else ""
    return (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{root}><Image ID="Image:0"><Pixels ID="P:0" '
        f'DimensionOrder="{order}" Type="uint16" SizeX="{size_x}" SizeY="{HEIGHT}" SizeC="5" SizeZ="{n_z}" SizeT="1">{channels}{tiff_data}'
        "</Pixels></Image></OME>"
    )


def block(ifd: int, uuid: str = "", file: str = "", **first: int) -> str:
    at = "".join(f' First{axis}="{n}"' for axis, n in first.items())
    inside = f'<UUID FileName="{file}">urn:uuid:{uuid}</UUID>' if uuid else ""
    return f'<TiffData{at} IFD="{ifd}" PlaneCount="1">{inside}</TiffData>'


def assert_own(path: Path, planes: Sequence[Array], one_frame: Make, **options: Any) -> None:
    frame = open_frame(one_frame(path, **options))
    for name, plane in zip(CHANNELS, planes, strict=True):
        np.testing.assert_array_equal(frame.channel(name), plane)


def test_a_file_whose_metadata_names_another_file_gives_its_own_planes(tmp_path: Path, stack: Make, one_frame: Make) -> None:
    other, own = stack(), stack()[:, ::-1]
    for name, planes, uuid in (("a.ome.tif", other, "1"), ("b.ome.tif", own, "2")):
        blocks = "".join(block(i, "1", "a.ome.tif", C=i) for i in range(5))
        pages(tmp_path / name, planes, xml(blocks, uuid=uuid))
    assert_own(tmp_path / "b.ome.tif", own, one_frame)
    assert_own(tmp_path / "a.ome.tif", other, one_frame)


def test_a_file_with_fewer_planes_than_its_metadata_names_is_refused_by_the_other_files_name(
    tmp_path: Path, stack: Make, refusal: Make
) -> None:
    blocks = "".join(block(i, "1", "whole.ome.tif", C=i) for i in range(5))
    line = refusal(pages(tmp_path / "part.ome.tif", stack()[:3], xml(blocks)))
    assert "names plane 3 (of the file whole.ome.tif) and 3 are there" in line


@pytest.mark.parametrize("channels_here", [1, 4])
def test_a_file_of_a_set_is_refused_although_all_files_are_there(tmp_path: Path, stack: Make, refusal: Make, channels_here: int) -> None:
    blocks = "".join(block(i % channels_here, str(i // channels_here), f"{i // channels_here}.ome.tif", C=i) for i in range(5))
    assert "files of an OME-TIFF set; export each frame as one OME-TIFF" in refusal(
        pages(tmp_path / "0.ome.tif", stack()[:channels_here], xml(blocks, uuid="0"))
    )


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"tile": (16, 16)}, {"rowsperstrip": 5}])
def test_channels_in_any_directory_are_found_there(tmp_path: Path, stack: Make, one_frame: Make, options: dict[str, Any]) -> None:
    order, planes = [4, 2, 0, 3, 1], stack()
    shuffled = [planes[order.index(k)] for k in range(5)]
    text = xml("".join(block(order[i], C=i) for i in range(5)))
    assert_own(pages(tmp_path / "f.ome.tif", shuffled, text, **options), planes, one_frame)


@pytest.mark.parametrize("order", ["XYZCT", "XYZTC", "XYCZT", "XYCTZ", "XYTCZ", "XYTZC"])
@pytest.mark.parametrize("tiff_data", ["", "<TiffData/>", '<TiffData IFD="0" PlaneCount="15"/>', '<TiffData IFD="0"/>'])
def test_every_order_of_dimensions_and_every_short_way_to_say_all_planes(
    tmp_path: Path, stack: Make, one_frame: Make, order: str, tiff_data: str
) -> None:
    planes = stack()
    volume = np.stack([planes + 10 * z for z in range(3)], axis=1)
    first_z = order.index("Z") < order.index("C")
    stored = (
        [volume[c, z] for c, z in itertools.product(range(5), range(3))] if first_z else list(np.swapaxes(volume, 0, 1).reshape(15, 24, 40))
    )
    path = pages(tmp_path / "f.ome.tif", stored, xml(tiff_data, order, 3))
    assert_own(path, volume.max(axis=1), one_frame, projection="max")


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        ("".join(block(i, C=i) for i in range(4)), "says where 4 of the 5 planes"),
        ("".join(block(0, C=i) for i in range(5)), "names plane 0 for"),
        (block(0, C=7), "places a plane that Image:0 does not have"),
        ('<TiffData FirstC="0" IFD="0" PlaneCount="5"/><TiffData FirstC="0" IFD="3"/>', "names two places"),
    ],
)
def test_metadata_that_does_not_place_every_plane_is_refused(tmp_path: Path, stack: Make, refusal: Make, blocks: str, says: str) -> None:
    assert says in refusal(pages(tmp_path / "f.ome.tif", stack(), xml(blocks)))


def test_planes_that_the_metadata_does_not_mention_or_of_another_size_are_refused(tmp_path: Path, stack: Make, refusal: Make) -> None:
    six = [*stack(), stack()[0]]
    assert "has OME metadata for 5 planes and holds 6" in refusal(
        pages(tmp_path / "f.ome.tif", six, xml('<TiffData IFD="0" PlaneCount="5"/>'))
    )
    assert "declares images of 20 x 24 px and it holds 40 x 24" in refusal(pages(tmp_path / "g.ome.tif", stack(), xml("", size_x=20)))


@pytest.mark.parametrize("order", ["czt", "zct", "tzc", None])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_an_imagej_hyperstack_of_any_order(tmp_path: Path, stack: Make, one_frame: Make, order: str | None, byteorder: str) -> None:
    planes = stack()
    volume = np.stack([planes + 10 * z for z in range(3)], axis=1)
    z_first = order is not None and order.index("z") < order.index("c")
    at = list(itertools.product(range(5), range(3))) if z_first else [(c, z) for z in range(3) for c in range(5)]
    text = "ImageJ=1.53t\nimages=15\nchannels=5\nslices=3\nhyperstack=true\n" + (f"order={order}\n" if order else "")
    extra = tifffile.tifffile.imagej_metadata_tag({"Labels": [CHANNELS[c] for c, _ in at]}, byteorder)
    with tifffile.TiffWriter(tmp_path / "f.tif", byteorder=byteorder) as writer:
        for i, (c, z) in enumerate(at):
            first: dict[str, Any] = {"description": text, "extratags": extra} if i == 0 else {}
            writer.write(volume[c, z], photometric="minisblack", metadata=None, contiguous=False, **first)
    assert_own(tmp_path / "f.tif", volume.max(axis=1), one_frame, projection="max")


def test_white_that_is_stored_as_zero_is_read_as_white(tmp_path: Path, stack: Make, one_frame: Make) -> None:
    for name, plane in zip(CHANNELS, stack(), strict=True):
        tifffile.imwrite(tmp_path / f"f_{name}.tif", 65535 - plane, photometric="miniswhite", metadata=None)
    assert_own(tmp_path, stack(), one_frame)


def test_planes_of_one_image_that_differ_in_what_zero_means_are_refused(tmp_path: Path, stack: Make, ome: Make, refusal: Make) -> None:
    path = ome(tmp_path / "f.ome.tif", stack())
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[3].tags["PhotometricInterpretation"].overwrite(0)  # type: ignore[union-attr]
    assert "differ in what a value stands for" in refusal(path)


def test_a_colour_table_of_brightness_leaves_intensities_and_any_other_is_refused(
    tmp_path: Path, stack: Make, one_frame: Make, refusal: Make
) -> None:
    ramp = np.stack([np.zeros(256), np.arange(256) * 257, np.arange(256) * 100]).astype(np.uint16)
    for name, plane in zip(CHANNELS, stack(dtype="uint8"), strict=True):
        tifffile.imwrite(tmp_path / f"f_{name}.tif", plane, photometric="palette", colormap=ramp, byteorder=">", metadata=None)
    assert_own(tmp_path, stack(dtype="uint8"), one_frame)
    colours = np.random.default_rng(1).integers(0, 65535, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "f_red.tif", stack(dtype="uint8")[4], photometric="palette", colormap=colours, metadata=None)
    assert "f_red.tif: pixels are numbers of colours in a table" in refusal(tmp_path)


def test_micro_managers_own_metadata_names_and_places_the_planes(tmp_path: Path, stack: Make, one_frame: Make) -> None:
    order = [3, 1, 4, 0, 2]
    with tifffile.TiffWriter(tmp_path / "f.tif") as writer:
        for c in order:
            about = {"ChannelIndex": c, "SliceIndex": 0, "FrameIndex": 0, "Channel": CHANNELS[c], "PixelSizeUm": 0.12, "XPositionUm": 10.5}
            extra = [(51123, 2, 0, json.dumps({**about, "Exposure-ms": 40}), True)]
            writer.write(stack()[c], photometric="minisblack", metadata=None, contiguous=False, extratags=extra)
    source = one_frame(tmp_path / "f.tif")
    assert (source.pixel_size_um, source.stage_x_um, source.channels[0].exposure_ms) == (0.12, 10.5, 40)
    assert_own(tmp_path / "f.tif", stack(), one_frame)


def test_pyramid_levels_marked_as_reduced_are_left_out(tmp_path: Path, stack: Make, one_frame: Make) -> None:
    with tifffile.TiffWriter(tmp_path / "f.ome.tif", ome=True) as writer:
        about = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}}
        writer.write(stack(), photometric="minisblack", metadata=about, subifds=1)
        writer.write(stack()[:, ::2, ::2], photometric="minisblack", subfiletype=1)
    assert_own(tmp_path / "f.ome.tif", stack(), one_frame)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_large_stack_costs_per_plane_what_a_small_one_costs(tmp_path: Path, byteorder: str) -> None:
    calls = {}
    for n in (60, 600):
        path = pages(tmp_path / f"{n}.tif", np.zeros((n, 16, 16), np.uint16), byteorder=byteorder)
        counter: Counter[str] = Counter()
        sys.setprofile(lambda frame, event, arg: counter.update([event]))  # noqa: B023 used before the next turn
        try:
            (scene,) = scenes_of(path)
            for c in range(n):
                scene.read(c, 0)
        finally:
            sys.setprofile(None)
        calls[n] = counter.total() / n
    assert calls[600] < 1.2 * calls[60]
