"""Every format gives the same planes, whatever the order of its channels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cacapp.frames import discover, open_frame, sha256_of
from cacapp.types import CHANNELS, FrameSource
from tests.readers import zarr_2

Make = Callable[..., Any]


def assert_planes(source: FrameSource, plane: Make, dtype: str = "uint16") -> None:
    frame = open_frame(source)
    assert frame.channel_names == CHANNELS
    assert (source.dtype, source.height_px, source.width_px) == (dtype, 24, 40)
    for name in CHANNELS:
        pixels = frame.channel(name)
        assert pixels.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(pixels, plane(name, dtype))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(CHANNELS))
def test_channels_in_any_order_of_an_ome_tiff_give_the_same_planes(
    order: list[str], tmp_path: Path, stack: Make, ome: Make, plane: Make, one_frame: Make
) -> None:
    assert_planes(one_frame(ome(tmp_path / "f.ome.tif", stack(order), order)), plane)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    "how",
    [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"bigtiff": True}, {"byteorder": ">"}, {"byteorder": ">", "compression": "zlib"}],
)
def test_ome_tiff_of_any_layout(
    tmp_path: Path, stack: Make, ome: Make, plane: Make, one_frame: Make, dtype: str, how: dict[str, Any]
) -> None:
    source = one_frame(ome(tmp_path / "f01.ome.tif", stack(dtype=dtype), **how))
    assert (source.name, source.scene, source.projection) == ("f01", "", "none")
    assert_planes(source, plane, dtype)


def test_a_read_touches_only_the_plane_that_is_asked_for(tmp_path: Path, stack: Make, ome: Make, plane: Make, one_frame: Make) -> None:
    path = ome(tmp_path / "f.ome.tif", stack())
    source = one_frame(path)
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages[1].dataoffsets[0], tiff.pages[1].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + count] = b"\xff" * count
    path.write_bytes(content)
    frame = open_frame(source, verify=False)
    np.testing.assert_array_equal(frame.channel("green"), plane("green"))
    assert frame.channel("aqua").min() == 65535


def test_ome_metadata_gives_pixel_size_exposure_and_stage_position(tmp_path: Path, stack: Make, ome: Make, one_frame: Make) -> None:
    meta = {
        "PhysicalSizeX": 120.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.00012,
        "PhysicalSizeYUnit": "mm",
        "Plane": {
            "ExposureTime": [0.5, 1, 1, 1, 2],
            "ExposureTimeUnit": ["s"] * 5,
            "PositionX": [1.5] * 5,
            "PositionXUnit": ["mm"] * 5,
            "PositionY": [-20] * 5,
            "PositionYUnit": ["µm"] * 5,
        },
    }
    source = one_frame(ome(tmp_path / "f.ome.tif", stack(), metadata=meta))
    assert source.pixel_size_um == pytest.approx(0.12)
    assert (source.stage_x_um, source.stage_y_um) == (1500.0, -20.0)
    assert [c.exposure_ms for c in source.channels] == [500, 1000, 1000, 1000, 2000]


@pytest.mark.parametrize(
    "meta", [{}, {"PhysicalSizeX": 0.12, "PhysicalSizeXUnit": "pixel", "PhysicalSizeY": 0.12, "PhysicalSizeYUnit": "pixel"}]
)
def test_a_pixel_size_nobody_states_is_none(tmp_path: Path, stack: Make, ome: Make, one_frame: Make, meta: dict[str, Any]) -> None:
    assert one_frame(ome(tmp_path / "f.ome.tif", stack(), metadata=meta)).pixel_size_um is None


def test_imagej_stack_with_labels(tmp_path: Path, stack: Make, plane: Make, one_frame: Make) -> None:
    path = tmp_path / "f.tif"
    labels = ["c:1/5 - Hoechst 33342", "SpectrumAqua", "FITC", "Cy3\nx=1", "TexasRed"]
    tifffile.imwrite(
        path, stack(), imagej=True, metadata={"axes": "CYX", "Labels": labels, "unit": "micron"}, resolution=(1 / 0.12, 1 / 0.12)
    )
    source = one_frame(path)
    assert source.pixel_size_um == pytest.approx(0.12, rel=1e-4)
    assert [c.found_as for c in source.channels] == ["Hoechst 33342", "SpectrumAqua", "FITC", "Cy3", "TexasRed"]
    assert_planes(source, plane)


@pytest.mark.parametrize(
    "how", [{"imagej": True}, {"imagej": True, "byteorder": ">"}, {"metadata": None}, {"metadata": None, "byteorder": ">"}, {}]
)
def test_a_plain_stack_is_read_by_the_positions_the_refusal_names(
    tmp_path: Path, stack: Make, plane: Make, one_frame: Make, refusal: Make, how: dict[str, Any]
) -> None:
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, stack(), **how)
    assert "f.tif: 5 channels have no names" in refusal(path)
    assert_planes(one_frame(path, channels={name: f"#{i}" for i, name in enumerate(CHANNELS)}), plane)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_slices_of_a_plain_stack_are_channels_where_labels_or_the_user_say_so(
    tmp_path: Path, stack: Make, plane: Make, one_frame: Make, refusal: Make, byteorder: str
) -> None:
    labelled, bare = tmp_path / "f.tif", tmp_path / "g.tif"
    order = list(CHANNELS[::-1])
    tifffile.imwrite(labelled, stack(order), imagej=True, byteorder=byteorder, metadata={"axes": "ZYX", "Labels": order})
    tifffile.imwrite(bare, stack(), imagej=True, byteorder=byteorder, metadata={"axes": "ZYX"})
    assert_planes(one_frame(labelled), plane)
    line = refusal(bare)
    assert "5 channels have no names" in line
    assert "if its planes are a z-stack, say --projection max|focus" in line
    assert_planes(one_frame(bare, channels={name: f"#{i}" for i, name in enumerate(CHANNELS)}), plane)
    assert "holds one channel" in refusal(bare, projection="max")


@pytest.mark.parametrize("compressor", [None, zarr_2.BLOSC])
def test_ome_zarr(tmp_path: Path, stack: Make, plane: Make, one_frame: Make, compressor: Any) -> None:
    order = ["red", "DAPI", "gold", "aqua", "green"]
    path = zarr_2.write(tmp_path / "f01.ome.zarr", stack(order), order, compressor=compressor)
    source = one_frame(path)
    assert (source.name, source.sha256) == ("f01", sha256_of(path))
    assert source.pixel_size_um == pytest.approx(0.12)
    assert_planes(source, plane)
    assert one_frame(tmp_path) == source


def test_ome_zarr_without_names_is_refused_until_positions_are_given(
    tmp_path: Path, stack: Make, plane: Make, one_frame: Make, refusal: Make
) -> None:
    path = zarr_2.write(tmp_path / "f.zarr", stack(), None)
    assert "5 channels have no names" in refusal(path)
    assert_planes(one_frame(path, channels={name: f"#{i}" for i, name in enumerate(CHANNELS)}), plane)


def test_the_series_of_a_zarr_folder_are_frames(tmp_path: Path, stack: Make, plane: Make) -> None:
    root = tmp_path / "s.zarr"
    root.mkdir()
    (root / ".zgroup").write_text('{"zarr_format": 2}')
    for series in ("0", "1"):
        zarr_2.write(root / series, stack())
    found = list(discover([root]))
    assert [f.name for f in found if isinstance(f, FrameSource)] == ["s_0", "s_1"]
    for source in found:
        assert isinstance(source, FrameSource)
        assert_planes(source, plane)


def test_the_scenes_of_an_ome_tiff_are_frames(tmp_path: Path, stack: Make, plane: Make) -> None:
    path = tmp_path / "s.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for name, order in (("left 1", CHANNELS), ("right", CHANNELS[::-1])):
            tiff.write(stack(order), metadata={"axes": "CYX", "Name": name, "Channel": {"Name": list(order)}}, photometric="minisblack")
    found = [f for f in discover([path]) if isinstance(f, FrameSource)]
    assert [f.name for f in found] == ["s_left-1", "s_right"]
    assert len({(f.sha256, f.scene) for f in found}) == 2
    for source in found:
        assert_planes(source, plane)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_one_grey_file_per_channel(tmp_path: Path, plane: Make, one_frame: Make, suffix: str, dtype: str) -> None:
    for name in CHANNELS:
        cv2.imwrite(str(tmp_path / f"f_01_{name}{suffix}"), plane(name, dtype))
    source = one_frame(tmp_path)
    assert source.name == "f_01"
    assert source.uri == str(tmp_path / f"f_01_{{channel}}{suffix}")
    assert len({c.sha256 for c in source.channels}) == 5
    assert_planes(source, plane, dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_rgb_exports_of_a_single_dye_give_its_only_plane(tmp_path: Path, plane: Make, one_frame: Make, dtype: str) -> None:
    colours = {"DAPI": (0, 0, 1), "aqua": (0, 1, 1), "green": (0, 1, 0), "gold": (1, 1, 1), "red": (1, 0, 0)}
    for name, rgb in colours.items():
        image = np.stack([plane(name, dtype) * np.array(on, dtype) for on in rgb], axis=-1)
        if name == "green":
            tifffile.imwrite(tmp_path / "f_green.tif", image, photometric="rgb")
        else:
            cv2.imwrite(str(tmp_path / f"f_{name}.png"), image[:, :, ::-1])
    assert_planes(one_frame(tmp_path), plane, dtype)


def test_jpeg_exports_grey_and_coloured(tmp_path: Path, one_frame: Make) -> None:
    spot = np.zeros((256, 256), np.uint8)
    cv2.circle(spot, (130, 130), 60, 200, -1)
    spot = cv2.GaussianBlur(spot, (0, 0), 2)
    colours = {"DAPI": (0, 0, 1), "aqua": (0, 1, 1), "green": (0, 1, 0), "gold": (1, 1, 1), "red": (1, 0, 0)}
    for name, rgb in colours.items():
        cv2.imwrite(str(tmp_path / f"f-{name}.jpg"), np.stack([spot * np.uint8(on) for on in rgb[::-1]], axis=-1))
    cv2.imwrite(str(tmp_path / "f-gold.jpg"), spot)
    frame = open_frame(one_frame(tmp_path))
    for name in CHANNELS:
        assert np.corrcoef(frame.channel(name).ravel(), spot.ravel())[0, 1] > 0.99


def test_a_z_stack_is_projected_to_its_maximum(tmp_path: Path, stack: Make, ome: Make, one_frame: Make, refusal: Make) -> None:
    volume = np.stack([stack() // (z + 1) for z in (2, 0, 1)], axis=1)
    volume[:, 0, 5, 7] = 60000
    path = ome(tmp_path / "f.ome.tif", volume, axes="CZYX")
    assert "a z-stack of 3 planes; say how it becomes one: --projection max|focus" in refusal(path)
    source = one_frame(path, projection="max")
    assert source.projection == "max"
    for i, name in enumerate(CHANNELS):
        np.testing.assert_array_equal(open_frame(source).channel(name), volume[i].max(axis=0))


@pytest.mark.parametrize("split", [False, True])
def test_focus_takes_the_plane_where_dapi_is_sharpest_for_all_channels(
    tmp_path: Path, stack: Make, ome: Make, one_frame: Make, split: bool
) -> None:
    rng = np.random.default_rng(1)
    texture = (rng.random((24, 40)) * 4000).astype(np.uint16)
    volume = np.stack([stack() + 10 * z for z in range(4)], axis=1)
    for z, blur_px in enumerate((4.0, 2.0, 0.1, 3.0)):
        volume[0, z] = cv2.GaussianBlur(texture, (0, 0), blur_px)
    # A sharper plane of another channel does not matter.
    volume[4, 0] = texture
    if split:
        for i, name in enumerate(CHANNELS):
            tifffile.imwrite(tmp_path / f"f_{name}.tif", volume[i], imagej=True, metadata={"axes": "ZYX"})
        source = one_frame(tmp_path, projection="focus")
    else:
        source = one_frame(ome(tmp_path / "f.ome.tif", volume, axes="CZYX"), projection="focus")
    for i, name in enumerate(CHANNELS):
        np.testing.assert_array_equal(open_frame(source).channel(name), volume[i, 2])


def test_a_single_plane_needs_no_projection(tmp_path: Path, stack: Make, ome: Make, one_frame: Make) -> None:
    path = ome(tmp_path / "f.ome.tif", stack())
    assert one_frame(path, projection="max") == one_frame(path)


def test_black_and_saturated_frames_are_frames(tmp_path: Path, ome: Make, one_frame: Make) -> None:
    for value in (0, 65535):
        path = ome(tmp_path / f"f{value}.ome.tif", np.full((5, 24, 40), value, np.uint16))
        assert open_frame(one_frame(path)).channel("DAPI").max() == value
