"""Files of one channel each become frames by their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cacapp.frames import discover, open_frame
from cacapp.types import CHANNELS, FrameSource

Make = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path, plane: Make) -> Callable[..., Path]:
    """Writes one PNG a channel under names made by ``{c}``."""

    def write(template: str, names: dict[str, str] | None = None, offset: int = 0) -> Path:
        for name in CHANNELS:
            path = tmp_path / template.format(c=(names or {}).get(name, name))
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), plane(name, offset=offset))
        return tmp_path

    return write


def assert_frames(found: list[Any], plane: Make, names: list[str]) -> None:
    assert [getattr(f, "name", f) for f in found] == names
    for i, source in enumerate(found):
        for name in CHANNELS:
            np.testing.assert_array_equal(open_frame(source).channel(name), plane(name, offset=10 * i))


ALIASES = {"DAPI": "Hoechst 33342", "aqua": "Spectrum_Aqua", "green": "FITC", "gold": "Cy3", "red": "Texas-Red"}


@pytest.mark.parametrize(
    "template", ["{f}_{{c}}.png", "{f}-{{c}}.png", "{f} {{c}}.PNG", "{f}.{{c}}.png", "{{c}}/{f}.png", "{{c}}/{f}_{{c}}.png"]
)
@pytest.mark.parametrize("names", [None, ALIASES])
def test_common_names_are_guessed(files: Make, plane: Make, template: str, names: dict[str, str] | None) -> None:
    files(template.format(f="s1_01"), names)
    folder = files(template.format(f="s1_02"), names, offset=10)
    assert_frames(list(discover([folder])), plane, ["s1_01", "s1_02"])


def test_numbered_files_need_the_users_word(files: Make, plane: Make) -> None:
    numbers = {name: f"c000{i + 1}" for i, name in enumerate(CHANNELS)}
    folder = files("f_{c}.png", numbers)
    (refused,) = discover([folder])
    assert "say --channels DAPI=c0001,aqua=c0002,green=c0003,gold=c0004,red=c0005" in refused.error
    assert_frames(list(discover([folder], channels=numbers)), plane, ["f"])


@pytest.mark.parametrize(
    ("template", "pattern"),
    [
        ("{c}_img_007.png", "{channel}_img_{frame}.png"),
        ("{c}_img_007.png", "{channel}_img_{frame}"),
        ("007/{c}.png", "{frame}/{channel}.png"),
        ("007/x1_{c}_y.png", "{frame}/*_{channel}_*.png"),
        ("exp/007-{c}-raw.png", "{frame}-{channel}-raw.png"),
    ],
)
@pytest.mark.parametrize("names", [None, ALIASES])
def test_a_pattern_reads_other_names(files: Make, plane: Make, template: str, pattern: str, names: dict[str, str] | None) -> None:
    folder = files(template, names)
    (folder / "overview.jpg").write_bytes(b"left out: does not fit the pattern")
    assert_frames(list(discover([folder], pattern=pattern)), plane, ["007"])


def test_a_named_file_that_does_not_fit_the_pattern_is_refused(files: Make) -> None:
    folder = files("f_{c}.png")
    (folder / "overview.png").write_bytes(b"x")
    found = list(discover([folder, folder / "overview.png"], pattern="{frame}_{channel}.png"))
    assert [f.name for f in found if isinstance(f, FrameSource)] == ["f"]
    assert found[1].error == "overview.png: does not fit --pattern {frame}_{channel}.png"  # type: ignore[union-attr]


def test_a_pattern_that_fits_nothing_is_refused(files: Make, refusal: Make) -> None:
    assert "no file fits it, f_DAPI.png for one" in refusal(files("f_{c}.png"), pattern="{frame}__{channel}.tif")


def test_a_missing_channel_file_is_refused_by_the_channels_name(files: Make, refusal: Make) -> None:
    folder = files("f_{c}.png")
    (folder / "f_gold.png").unlink()
    assert "f_{channel}.png: no channel for gold among those found: DAPI, aqua, green, red" in refusal(folder)


def test_two_files_for_one_channel_are_refused(files: Make, refusal: Make) -> None:
    folder = files("f_{c}.png")
    (folder / "f_Hoechst.png").write_bytes((folder / "f_DAPI.png").read_bytes())
    assert "are both DAPI" in refusal(folder)


def test_channels_of_different_sizes_are_refused(files: Make, refusal: Make) -> None:
    folder = files("f_{c}.png")
    cv2.imwrite(str(folder / "f_red.png"), np.zeros((24, 41), np.uint16))
    assert "channels differ in size or pixel type (DAPI 40 x 24 px, 1 z, uint16; red 41 x 24 px, 1 z, uint16)" in refusal(folder)


def test_a_composite_is_no_channel(files: Make, refusal: Make) -> None:
    folder = files("f_{c}.png")
    rng = np.random.default_rng(0)
    cv2.imwrite(str(folder / "f_red.png"), rng.integers(0, 65535, (24, 40, 3), np.uint16))
    assert "RGB image with different colours" in refusal(folder)


def test_an_rgb_image_by_itself_is_refused(tmp_path: Path, refusal: Make) -> None:
    cv2.imwrite(str(tmp_path / "f.png"), np.full((24, 40, 3), 9, np.uint8))
    assert "f.png: an RGB image" in refusal(tmp_path)


def test_a_whole_frame_whose_name_ends_like_a_channel_is_a_frame(tmp_path: Path, stack: Make, ome: Make, one_frame: Make) -> None:
    assert one_frame(ome(tmp_path / "patient_red.ome.tif", stack())).name == "patient_red"


def test_frames_of_one_name_are_distinguished_by_their_folders(tmp_path: Path, stack: Make, ome: Make) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        ome(tmp_path / folder / "f.ome.tif", stack())
    ome(tmp_path / "g.ome.tif", stack())
    assert [f.name for f in discover([tmp_path]) if isinstance(f, FrameSource)] == ["g", "a_f", "b_f"]


def test_frames_of_one_name_in_one_folder_are_refused(tmp_path: Path, stack: Make, ome: Make) -> None:
    ome(tmp_path / "f.ome.tif", stack())
    ome(tmp_path / "f.tiff", stack())
    found = list(discover([tmp_path]))
    assert len(found) == 2
    assert all("rename or leave out one" in f.error for f in found)  # type: ignore[union-attr]


def test_a_file_given_twice_is_one_frame(tmp_path: Path, stack: Make, ome: Make, one_frame: Make) -> None:
    path = ome(tmp_path / "f.ome.tif", stack())
    one_frame(path, tmp_path, path)


@pytest.mark.parametrize(
    ("template", "frames"),
    [
        ("slide1_w{n}{c}_s{f}.TIF", ["slide1_s1", "slide1_s2"]),
        ("exp_w{n}{c}_s{f}_t1.tif", ["exp_s1_t1", "exp_s2_t1"]),
        ("A01_{c}_000{f}.tif", ["A01_0001", "A01_0002"]),
        ("{c}_f{f}.png", ["f1", "f2"]),
    ],
)
def test_microscopes_names_that_say_the_channel_need_no_pattern(tmp_path: Path, plane: Make, template: str, frames: list[str]) -> None:
    said = {"DAPI": "DAPI", "aqua": "Aqua", "green": "FITC", "gold": "Gold", "red": "TexasRed"}
    for f in (1, 2):
        for n, name in enumerate(CHANNELS, 1):
            path = tmp_path / template.format(n=n, c=said[name], f=f)
            cv2.imwrite(str(path), plane(name, offset=10 * (f - 1)))
            cv2.imwrite(str(path.with_name(f"{path.stem}_thumb{path.suffix}")), plane(name)[::4, ::4])
    assert_frames(list(discover([tmp_path])), plane, frames)


@pytest.mark.parametrize(
    ("template", "channel", "frame"),
    [
        ("Series001_ch0{n}.tif", "ch0{n}", "Series001"),
        ("Pos1_C00{n}Z001.tif", "C00{n}", "Pos1"),
        ("r01c01f01p01-ch{n}sk1fk1fl1.tiff", "ch{n}", "r01c01f01sk1fk1fl1"),
        ("B02_s1_w{n}0A1B2C3D-0000-1111-2222-0123456789AB.tif", "w{n}", "B02_s1"),
        ("AS_B02_T0001F001L01A01Z01C0{n}.tif", "C0{n}", "AS_B02_T0001F001L01"),
        ("name_s1c{n}.tif", "c{n}", "name_s1"),
        ("slide_w{n}_s1.tif", "w{n}", "slide_s1"),
    ],
)
def test_channel_numbers_are_asked_for_in_one_line(tmp_path: Path, plane: Make, template: str, channel: str, frame: str) -> None:
    for n, name in enumerate(CHANNELS, 1):
        cv2.imwrite(str(tmp_path / template.format(n=n)), plane(name))
    numbers = {name: channel.format(n=n) for n, name in enumerate(CHANNELS, 1)}
    (refused,) = discover([tmp_path])
    assert f"say --channels {','.join(f'{k}={v}' for k, v in numbers.items())}" in refused.error
    assert_frames(list(discover([tmp_path], channels=numbers)), plane, [frame])


@pytest.mark.parametrize(
    ("pattern", "file", "frame"),
    [
        ("{frame}_{channel}*.tif", "s1_{c}_z1.tif", "s1"),
        ("*{channel}_{frame}.tif", "slide1_w1{c}_s1.tif", "s1"),
        ("{frame}_z{z}_{channel}.tif", "s1_z03_{c}.tif", "s1"),
        ("{frame}_w*{channel}_s*.tif", "slide1_w1{c}_s1.tif", "slide1"),
    ],
)
def test_a_wildcard_does_not_match_the_channels_part_of_a_name(tmp_path: Path, plane: Make, pattern: str, file: str, frame: str) -> None:
    for name, said in zip(CHANNELS, ("DAPI", "Aqua", "FITC", "Cy3", "TexasRed"), strict=True):
        cv2.imwrite(str(tmp_path / file.format(c=said)), plane(name))
    assert_frames(list(discover([tmp_path], pattern=pattern)), plane, [frame])
