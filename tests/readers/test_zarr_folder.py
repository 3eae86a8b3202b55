"""OME-Zarr on version 2: the names of chunks and their order inside are those that the store states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from cacapp.frames import open_frame
from cacapp.types import CHANNELS

Make = Callable[..., Any]


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_chunks_under_either_kind_of_name_and_in_either_order(
    tmp_path: Path, stack: Make, one_frame: Make, separator: str, order: str
) -> None:
    store = zarr.NestedDirectoryStore if separator == "/" else zarr.DirectoryStore
    group = zarr.open_group(store(str(tmp_path / "f.zarr")), mode="w")
    group.create_dataset("0", data=stack(), chunks=(2, 16, 24), dimension_separator=separator, order=order)
    group.attrs["multiscales"] = [{"version": "0.4", "axes": [{"name": a} for a in "cyx"], "datasets": [{"path": "0"}]}]
    group.attrs["omero"] = {"channels": [{"label": n} for n in CHANNELS]}
    frame = open_frame(one_frame(tmp_path / "f.zarr"))
    for name, plane in zip(CHANNELS, stack(), strict=True):
        np.testing.assert_array_equal(frame.channel(name), plane)
