"""An OME-Zarr export is whole or absent, and says why it could not be written."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from cacapp.exceptions import CacappError
from cacapp.exchange.label_zarr import write_zarr
from cacapp.types import ChannelSource, Frame, FrameSource


def test_a_file_that_the_system_does_not_let_grow_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 65535, (200, 300)).astype(np.uint16)
    dapi = ChannelSource("DAPI", "DAPI", "f.tif", 0, "")
    frame = Frame(FrameSource("f", "f.tif", "", "", "none", 200, 300, "uint16", 0.12, (dapi,)), lambda _: pixels)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(CacappError, match=r"out\.ome\.zarr cannot be written: File too large; choose another folder"):
            write_zarr(tmp_path / "out.ome.zarr", frame, [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
