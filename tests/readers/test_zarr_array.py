"""Zarr version 3, as OME-Zarr 0.5 has it: every codec that is read, shards, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

from cacapp.frames import open_frame
from cacapp.types import CHANNELS
from tests.readers.zarr_3 import BIG, BLOSC, CRC, GZIP, LITTLE, ZSTD, write

Make = Callable[..., Any]


@pytest.mark.parametrize(
    "codecs",
    [[LITTLE], [BIG], [LITTLE, ZSTD], [LITTLE, BLOSC], [BIG, GZIP], [LITTLE, ZSTD, CRC]],
)
@pytest.mark.parametrize(("shards", "first"), [((), False), ((1, 16, 32), False), ((5, 24, 48), True)])
def test_version_3_gives_the_planes(
    tmp_path: Path, stack: Make, one_frame: Make, codecs: list[dict[str, Any]], shards: tuple[int, ...], first: bool
) -> None:
    source = one_frame(write(tmp_path / "f.ome.zarr", stack(), codecs, shards, first))
    assert (source.name, source.pixel_size_um) == ("f", 0.12)
    for name, plane in zip(CHANNELS, stack(), strict=True):
        np.testing.assert_array_equal(open_frame(source).channel(name), plane)


def test_transposed_chunks_are_restored(tmp_path: Path, stack: Make, one_frame: Make) -> None:
    turned = [{"name": "transpose", "configuration": {"order": [2, 0, 1]}}, LITTLE, ZSTD]
    source = one_frame(write(tmp_path / "f.zarr", stack(), turned))
    np.testing.assert_array_equal(open_frame(source).channel("red"), stack()[4])


def test_the_full_size_may_lie_deeper(tmp_path: Path, stack: Make, one_frame: Make, refusal: Make) -> None:
    assert one_frame(write(tmp_path / "f.zarr", stack(), [LITTLE], level="image/s0")).height_px == 24
    text = (tmp_path / "f.zarr/zarr.json").read_text().replace("image/s0", "../f.zarr/image/s0")
    (tmp_path / "f.zarr/zarr.json").write_text(text)
    assert "is no folder of its own" in refusal(tmp_path / "f.zarr")


def _spoil(path: Path, place: str, how: Callable[[bytes], bytes]) -> None:
    file = path / "full" / place
    file.write_bytes(how(file.read_bytes()))


@pytest.mark.parametrize(
    ("place", "how", "says"),
    [
        ("c/0/0/0", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "index of shard c/0/0/0 has another checksum"),
        ("c/0/0/0", lambda raw: raw[:10], "shard c/0/0/0 is cut short"),
        ("c/0/0/0", lambda raw: raw[40:], "f.zarr: "),
        ("c/0/0/0", lambda raw: b"", "chunks are missing or cut short"),
        ("zarr.json", lambda raw: raw.replace(b'"zstd"', b'"pickle"'), "packed with the codec 'pickle'"),
        ("zarr.json", lambda raw: raw.replace(b"[1, 8, 16]", b"[1, 7, 16]"), "shards that are not whole chunks"),
        ("zarr.json", lambda raw: raw.replace(b"[5, 24, 40]", b"[5, 240000, 400000]"), "declares an image of"),
        ("zarr.json", lambda raw: b"{}", "corrupt: full/zarr.json is missing or incomplete"),
    ],
)
def test_a_damaged_store_is_refused_at_ingest(
    tmp_path: Path, stack: Make, refusal: Make, place: str, how: Callable[[bytes], bytes], says: str
) -> None:
    path = write(tmp_path / "f.zarr", stack(), [LITTLE, ZSTD], (5, 24, 48))
    _spoil(path, place, how)
    assert says in refusal(path)


@pytest.mark.parametrize("size", ["5, 24, 8", "4, 24, 40"])
def test_chunks_beyond_the_declared_size_show_that_it_is_wrong(tmp_path: Path, stack: Make, refusal: Make, size: str) -> None:
    path = write(tmp_path / "f.zarr", stack(), [LITTLE])
    _spoil(path, "zarr.json", lambda raw: raw.replace(b"[5, 24, 40]", f"[{size}]".encode()))
    assert "lies beyond the size that full/zarr.json declares" in refusal(path)


@pytest.mark.parametrize("shards", [(), (5, 24, 48)])
@pytest.mark.parametrize("at", [0, 100, -1])
def test_a_chunk_with_another_checksum_is_refused(tmp_path: Path, stack: Make, refusal: Make, shards: tuple[int, ...], at: int) -> None:
    path = write(tmp_path / "f.zarr", stack(), [LITTLE, CRC], shards)
    where = at if shards == () or at >= 0 else -(16 * 5 * 3 * 3 + 5)  # before the shard's index
    _spoil(path, "c/0/0/0", lambda raw: (b := bytearray(raw), b.__setitem__(where, b[where] ^ 4))[0])
    assert "chunk c/0/0/0 has another checksum" in refusal(path)


def test_a_chunk_that_unpacks_to_more_than_a_chunk_is_refused_before(tmp_path: Path, stack: Make, refusal: Make) -> None:
    path = write(tmp_path / "f.zarr", stack(), [LITTLE, ZSTD])
    (path / "full/c/0/0/0").write_bytes(numcodecs.Zstd().encode(bytes(1 << 24)))
    assert "unpacks to more than the 256 bytes" in refusal(path)
