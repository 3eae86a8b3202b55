"""Levels of a pyramid that are stored as images of their own are one image; fields of different sizes are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from cacapp.frames import discover, open_frame
from cacapp.types import CHANNELS, Array, FrameSource

Make = Callable[..., Any]


def field(seed: int, side: int = 96) -> Array:
    rng = np.random.default_rng(seed)
    planes = [cv2.GaussianBlur(rng.random((side, side)), (0, 0), 5) for _ in CHANNELS]
    return np.stack([(p - p.min()) / np.ptp(p) * 60000 for p in planes]).astype(np.uint16)


def halved(planes: Array, times: int) -> Array:
    for _ in range(times):
        planes = np.stack([cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for p in planes])
    return planes


def write(path: Path, images: list[Array], ome: bool) -> Path:
    with tifffile.TiffWriter(path, ome=ome) as writer:
        for i, image in enumerate(images):
            about = {"axes": "CYX", "Name": f"s #{i}", "Channel": {"Name": list(CHANNELS)}, "Labels": list(CHANNELS)}
            writer.write(image, photometric="minisblack", metadata=about)
    return path


@pytest.mark.parametrize("ome", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_the_largest_level_is_the_frame_and_the_others_are_reported(
    tmp_path: Path, one_frame: Make, caplog: pytest.LogCaptureFixture, ome: bool, order: tuple[int, ...]
) -> None:
    planes = field(1, 97 if ome else 96)
    source = one_frame(write(tmp_path / "f.tif", [halved(planes, n) for n in order], ome))
    assert source.name == "f"
    for name, plane in zip(CHANNELS, planes, strict=True):
        np.testing.assert_array_equal(open_frame(source).channel(name), plane)
    assert "f.tif: 2 of its images are smaller versions of it (a pyramid) and are left out" in caplog.text


def test_another_field_of_half_the_size_is_a_frame_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "f.ome.tif", [field(1), halved(field(2), 1)], True)
    assert [type(f) for f in discover([path])] == [FrameSource, FrameSource]
