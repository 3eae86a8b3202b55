"""Frames behind a web server: the same frames as from a folder, from copies that are whole, checked and few."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cacapp.exceptions import CacappError, UsageError
from cacapp.frames import BadFile, check_address, digest_now, discover, open_frame
from cacapp.frames.cache import cached_path
from cacapp.frames.digest import sha256_of
from cacapp.types import CHANNELS, Array, FrameSource
from tests.readers import zarr_2
from tests.web_store import WebStore


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("CACAPP_FRAME_CACHE", str(folder))
    return folder


@pytest.fixture
def store(tmp_path: Path, cache: Path, ome: Callable[..., Path], stack: Callable[..., Array]) -> Iterator[WebStore]:
    slide = tmp_path / "served" / "slide 1"
    (slide / "more").mkdir(parents=True)
    for n, name in enumerate(("f1.ome.tif", "f2.ome.tif", "more/f3.ome.tif")):
        ome(slide / name, stack() + np.uint16(n))
    (slide / "notes.txt").write_text("no image")
    ome(slide / "f1_labels.tif", stack())
    with WebStore(tmp_path / "served") as served:
        yield served


def copies(cache: Path) -> list[Path]:
    return [c for c in cache.iterdir() if not c.name.startswith(".")]


def found(*places: str, **kwargs: object) -> list[FrameSource]:
    items = list(discover(list(places), **kwargs))  # type: ignore[arg-type]
    assert all(isinstance(i, FrameSource) for i in items), items
    return [i for i in items if isinstance(i, FrameSource)]


def test_a_folder_on_a_server_gives_the_frames_of_the_same_folder_here(store: WebStore) -> None:
    there, here = found(f"{store.url}/slide 1"), found(str(store.folder / "slide 1"))
    assert [f.name for f in there] == [f.name for f in here] == ["f1", "f2", "f3"]
    assert [f.sha256 for f in there] == [f.sha256 for f in here]
    assert there[2].uri == there[2].channels[0].uri == f"{store.url}/slide%201/more/f3.ome.tif"
    for a, b in zip(there, here, strict=True):
        assert replace(a, uri="", channels=()) == replace(b, uri="", channels=())
        for name in CHANNELS:
            np.testing.assert_array_equal(open_frame(a).channel(name), open_frame(b).channel(name))


def test_a_file_is_fetched_once_and_read_from_its_copy(store: WebStore) -> None:
    (frame,) = found(f"{store.url}/slide 1/f1.ome.tif")
    store.stop()
    for name in CHANNELS:
        assert open_frame(frame).channel(name).any()
    assert store.asked["f1.ome.tif"] == 1


def test_files_of_one_channel_each_are_put_together_by_name(
    tmp_path: Path, store: WebStore, ome: Callable[..., Path], plane: Callable[..., Array]
) -> None:
    folder = store.folder / "parts"
    folder.mkdir()
    for name in CHANNELS:
        ome(folder / f"a b_{name}.ome.tif", plane(name), None, "YX")
    (frame,) = found(f"{store.url}/parts")
    assert frame.name == "a b"
    assert frame.uri == f"{store.url}/parts/a%20b_{{channel}}.ome.tif"
    np.testing.assert_array_equal(open_frame(frame).channel("red"), plane("red"))
    (again,) = found(f"{store.url}/parts", pattern="{frame}_{channel}.ome.tif")
    assert again == frame


def test_an_ome_zarr_folder_is_fetched_whole(store: WebStore, stack: Callable[..., Array]) -> None:
    path = zarr_2.write(store.folder / "z" / "f9.ome.zarr", stack())
    (there,), (here,) = found(f"{store.url}/z"), found(str(path))
    assert (there.name, there.sha256) == (here.name, here.sha256) == ("f9", here.sha256)
    np.testing.assert_array_equal(open_frame(there).channel("gold"), open_frame(here).channel("gold"))


def test_a_cut_copy_is_fetched_again_and_a_changed_original_is_refused(store: WebStore, cache: Path) -> None:
    (frame,) = found(f"{store.url}/slide 1/f1.ome.tif")
    (copy,) = copies(cache)
    copy.write_bytes(copy.read_bytes()[:-100])
    assert open_frame(frame).channel("red").any()
    assert store.asked["f1.ome.tif"] == 2
    copy.unlink()
    store.swap = {"f1.ome.tif": "f2.ome.tif"}
    with pytest.raises(CacappError, match=r"f1.ome.tif has changed since ingest \(SHA-256 .*ingest the changed frame as a new slide"):
        open_frame(frame)
    assert copies(cache) == []


def test_an_interrupted_download_is_reported_and_leaves_no_file(store: WebStore, cache: Path) -> None:
    store.cut = 2000
    (bad,) = discover([f"{store.url}/slide 1/f1.ome.tif"])
    assert isinstance(bad, BadFile)
    assert "f1.ome.tif: cannot be fetched (ClientPayloadError" in bad.error
    assert [p.name for p in cache.iterdir()] == []


def test_a_missing_file_and_a_server_that_is_down_each_say_so(store: WebStore) -> None:
    (frame,) = found(f"{store.url}/slide 1/f1.ome.tif")
    shutil.rmtree(os.environ["CACAPP_FRAME_CACHE"])
    (store.folder / "slide 1" / "f1.ome.tif").unlink()
    with pytest.raises(CacappError, match=r"^frame f1: http\S+f1.ome.tif is missing in the store; put it back"):
        open_frame(frame)
    with pytest.raises(CacappError, match="is missing in the store"):
        digest_now(frame.uri)
    (bad,) = discover([f"{store.url}/nowhere"])
    assert isinstance(bad, BadFile)
    assert bad.error == f"{store.url}/nowhere: is missing in the store; put it back where it was"
    (bad,) = discover([f"{store.url}/slide 1/notes.czi"])
    assert isinstance(bad, BadFile)
    assert "no installed reader reads .czi" in bad.error
    store.stop()
    (bad,) = discover([f"{store.url}/slide 1"])
    assert isinstance(bad, BadFile)
    assert "cannot be fetched (ClientConnectorError" in bad.error
    with pytest.raises(CacappError, match=r"cannot be fetched \(ClientConnectorError.*is the store up"):
        open_frame(frame)


def test_copies_unused_for_longest_go_when_there_are_too_many(store: WebStore, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (store.folder / "slide 1" / "f1.ome.tif").stat().st_size
    monkeypatch.setenv("CACAPP_FRAME_CACHE_GB", str(2.5 * size / 1e9))
    one, two, three = found(f"{store.url}/slide 1")
    assert len(copies(cache)) == 2
    open_frame(two)
    open_frame(one)  # three is now the one unused for longest
    assert store.asked == {"listing": 2, "f1.ome.tif": 2, "f2.ome.tif": 1, "f3.ome.tif": 1}
    open_frame(three)
    assert store.asked["f3.ome.tif"] == 2
    monkeypatch.setenv("CACAPP_FRAME_CACHE_GB", "0")
    kept = open_frame(two)
    red = kept.channel("red")
    open_frame(one)
    np.testing.assert_array_equal(kept.channel("red"), red)  # in use: not removed under its reader
    monkeypatch.setenv("CACAPP_FRAME_CACHE_GB", "many")
    with pytest.raises(UsageError, match="CACAPP_FRAME_CACHE_GB must be a number of gigabytes, got 'many'"):
        open_frame(one)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "frames"), [("tiff", 24), ("zarr", 8)])
def test_making_room_deletes_no_copy_that_another_process_has_just_fetched(
    store: WebStore,
    cache: Path,
    ome: Callable[..., Path],
    stack: Callable[..., Array],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    frames: int,
) -> None:
    """Where copies are too many, each is removed once it is not in use, by whoever comes next."""
    monkeypatch.setenv("CACAPP_FRAME_CACHE_GB", "0")
    many = store.folder / "many"
    many.mkdir()
    for n in range(frames):
        image = stack() + np.uint16(n)
        zarr_2.write(many / f"f{n:02}.ome.zarr", image) if kind == "zarr" else ome(many / f"f{n:02}.ome.tif", image)
    places = [frame.uri for frame in found(f"{store.url}/many")]

    def read(place: str) -> str:
        copy = cached_path(place)
        return sha256_of(copy.path)

    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(read, places))) == frames


def test_copies_are_the_users_alone(store: WebStore, cache: Path) -> None:
    found(f"{store.url}/slide 1/f1.ome.tif")
    assert cache.stat().st_mode & 0o777 == 0o700


READ_ALL = """
import pickle, sys
from cacapp.frames import open_frame
for frame in pickle.loads(bytes.fromhex(sys.argv[1])):
    open_frame(frame).channel("red")
"""


@pytest.mark.slow
def test_processes_that_want_the_same_file_fetch_it_once(store: WebStore, cache: Path) -> None:
    import pickle

    frames = found(f"{store.url}/slide 1")
    shutil.rmtree(cache)
    store.asked.clear()
    store.bytes_per_s = 40_000
    words = [sys.executable, "-c", READ_ALL, pickle.dumps(frames).hex()]
    readers = [subprocess.Popen(words, cwd=Path(__file__).parents[2]) for _ in range(3)]
    assert [r.wait(timeout=120) for r in readers] == [0] * 3
    assert store.asked == {"f1.ome.tif": 1, "f2.ome.tif": 1, "f3.ome.tif": 1}
    assert sorted(p.name for p in cache.iterdir()) == sorted(c.name for c in copies(cache))


def test_partial_downloads_of_a_killed_process_are_deleted(store: WebStore, cache: Path) -> None:
    import pickle
    import time

    frames = found(f"{store.url}/slide 1")
    shutil.rmtree(cache)
    store.hangs_on = "f1.ome.tif"
    reader = subprocess.Popen([sys.executable, "-c", READ_ALL, pickle.dumps(frames).hex()], cwd=Path(__file__).parents[2])
    while not list(cache.glob(".part-*/*")):
        assert reader.poll() is None
        time.sleep(0.02)
    reader.kill()
    reader.wait()
    store.hangs_on = ""
    assert open_frame(frames[0]).channel("red").any()
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://anna:hunter2@store.lab/slide", "an address with a password"),
        ("s3://AKIA:hunter2@bucket/slide", "an address with a password"),
        ("https://hunter2@store.lab/slide", "an address with a password"),
        ("ftp://anna:pa/hunter2@store.lab/slide", "an address with a password"),
        ("https://b.s3.amazonaws.com/f.tif?X-Amz-Signature=hunter2", "a ? or # in the address"),
        ("s3://bucket/../hunter/f.tif", "no part of an address may be empty, . or .."),
        ("http://store.lab/a%2f..%2Fb.tif", "no part of an address may be empty, . or .."),
        ("s3://bucket/a\nb.tif", "control characters"),
        ("s3:///slide", "without a host"),
        ("file:///data/slide", "write the path itself"),
        ("simplecache::s3://bucket/slide", "simplecache::s3:// is not read"),
        ("reference://bucket/slide", "reference:// is not read"),
        ("github://owner:repo@/slide", "github:// is not read; read are s3://"),
    ],
)
def test_an_address_that_could_keep_a_secret_or_lead_elsewhere_is_refused(address: str, reason: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_address(address)
    assert reason in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["s3://b/a b/f#1.tif".replace("#", ""), "abfs://box@account.dfs.core.windows.net/s", "sftp://anna@lab/s"]
)
def test_an_address_is_kept_as_it_is(address: str) -> None:
    assert check_address(address + "/") == address


def test_a_missing_driver_is_named_with_the_command_that_installs_it(cache: Path) -> None:
    with pytest.raises(UsageError, match=r"gs:// needs a driver that is not installed: pip install 'gcsfs(<2023.9)?'"):
        discover(["gs://bucket/slide"])
