"""OME-Zarr on versions 2 and 3: the names of chunks and their order inside are those that the store states, whoever wrote it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore

from cacapp.frames import open_frame
from cacapp.types import CHANNELS
from tests.readers import zarr_2

Make = Callable[..., Any]
INSIDE = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd", "configuration": {"level": 3}}, {"name": "crc32c"}]
INDEX = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_chunks_under_either_kind_of_name_and_in_either_order(
    tmp_path: Path, stack: Make, one_frame: Make, separator: str, order: str
) -> None:
    path = zarr_2.write(tmp_path / "f.zarr", stack(), chunks=(2, 16, 24), separator=separator, order=order)
    frame = open_frame(one_frame(path))
    for name, plane in zip(CHANNELS, stack(), strict=True):
        np.testing.assert_array_equal(frame.channel(name), plane)


@pytest.mark.parametrize("codecs", [INSIDE, [{"name": "sharding_indexed", "configuration": {"codecs": INSIDE, "index_codecs": INDEX}}]])
def test_what_another_program_wrote_in_version_3_is_read_with_its_checksums(
    tmp_path: Path, stack: Make, one_frame: Make, codecs: list[dict[str, Any]]
) -> None:
    path = zarr_2.write(tmp_path / "f.zarr", stack())
    ome = json.loads((path / ".zattrs").read_text())
    for old in sorted(path.rglob("*"), reverse=True):
        old.rmdir() if old.is_dir() else old.unlink()
    (path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}))
    grid = (5, 16, 32)
    if codecs[0]["name"] == "sharding_indexed":
        codecs[0]["configuration"]["chunk_shape"] = [1, 8, 16]
    metadata = {
        "shape": stack().shape,
        "data_type": "uint16",
        "codecs": codecs,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid}},
    }
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path / "0")}, "metadata": metadata}
    tensorstore.open(spec, create=True).result().write(stack()).result()
    frame = open_frame(one_frame(path))
    for name, plane in zip(CHANNELS, stack(), strict=True):
        np.testing.assert_array_equal(frame.channel(name), plane)
