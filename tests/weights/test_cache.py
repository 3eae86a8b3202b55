"""Weights are present and complete, or one line says how to get them; nothing is downloaded without a request."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cacapp.exceptions import CacappError, UsageError
from cacapp.weights import cache, receipt
from cacapp.weights.registry import Entry


@pytest.fixture
def brought(tmp_path: Path, payload: bytes) -> Path:
    """The right file, under another name."""
    file = tmp_path / "usb stick" / "download (1).pth"
    file.parent.mkdir()
    file.write_bytes(payload)
    return file


def test_missing_weights_are_one_line_with_both_ways_and_no_request(small: Entry, source, folder: Path) -> None:
    with pytest.raises(CacappError) as caught:
        cache.locate("small")
    line = str(caught.value)
    assert line.startswith("weights 'small' are not here: run `cacapp weights pull small`")
    assert f"bring small_01ab23.pth (from {source.url}) and run `cacapp weights add small small_01ab23.pth`" in line
    assert str(folder) in line
    assert "\n" not in line
    assert source.ranges == []
    assert not folder.exists()


def test_a_brought_file_is_copied_checked_and_found(small: Entry, folder: Path, brought: Path, digest: str) -> None:
    path = cache.add("small", brought)
    assert path == folder / "small_01ab23.pth" == cache.locate("small")
    assert path.read_bytes() == brought.read_bytes()
    assert cache.digest_of("small") == digest
    assert {p.name for p in folder.iterdir()} == {"small_01ab23.pth", "small_01ab23.pth.json"}


def test_a_file_put_into_the_folder_by_hand_is_checked_once(small: Entry, folder: Path, payload: bytes, digest: str) -> None:
    folder.mkdir(parents=True)
    (folder / small.file).write_bytes(payload)
    assert cache.digest_of("small") == digest
    kept = receipt.read(folder / small.file)
    assert kept is not None
    assert receipt.is_current(kept, folder / small.file)


def test_a_wrong_file_put_into_the_folder_by_hand_is_not_taken(small: Entry, folder: Path, payload: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / small.file).write_bytes(payload[::-1])
    with pytest.raises(CacappError, match=r"is not the published file of 'small': SHA-256"):
        cache.locate("small")
    assert cache.verify(small).finding == "damaged"
    assert receipt.read(folder / small.file) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [(lambda p: p[:-1], "700,000 bytes instead of 700,001"), (lambda p: bytes([p[0] ^ 1]) + p[1:], "SHA-256 [0-9a-f]{64} instead of")],
    ids=["truncated", "altered"],
)
def test_another_file_is_refused_and_not_kept(small: Entry, folder: Path, brought: Path, payload: bytes, change, why: str) -> None:
    brought.write_bytes(change(payload))
    with pytest.raises(CacappError, match=f"is not small_01ab23.pth: {why}"):
        cache.add("small", brought)
    assert not folder.exists() or list(folder.iterdir()) == []
    assert brought.exists()


def test_a_refused_file_leaves_the_good_one_in_place(small: Entry, brought: Path, payload: bytes) -> None:
    path = cache.add("small", brought)
    brought.write_bytes(b"x" * len(payload))
    with pytest.raises(CacappError, match="it was not kept"):
        cache.add("small", brought)
    assert cache.locate("small") == path
    assert path.read_bytes() == payload


def test_a_file_altered_after_it_came_is_no_longer_found(small: Entry, brought: Path, payload: bytes) -> None:
    path = cache.add("small", brought)
    path.write_bytes(payload[:-1] + bytes([payload[-1] ^ 1]))
    os.utime(path, ns=(0, 0))
    with pytest.raises(CacappError, match=r"small_01ab23.pth is not the published file of 'small': SHA-256 .*; remove it, then run"):
        cache.locate("small")


def test_a_file_already_in_its_place_may_be_added(small: Entry, folder: Path, payload: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / small.file).write_bytes(payload)
    assert cache.add("small", folder / small.file) == folder / small.file
    assert (folder / small.file).read_bytes() == payload


def test_a_file_that_cannot_be_added_is_refused(small: Entry, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        cache.add("small", tmp_path / "nothing.pth")
    with pytest.raises(UsageError, match="no file but a folder"):
        cache.add("small", tmp_path)
    with pytest.raises(UsageError, match="come with cacapp"):
        cache.add("own", tmp_path / "x")


def test_verify_sees_what_size_and_time_hide(small: Entry, brought: Path, payload: bytes, digest: str) -> None:
    path = cache.add("small", brought)
    assert cache.verify(small).finding == "whole"
    assert cache.verify(small).sha256 == digest
    times = path.stat()
    path.write_bytes(payload[:-1] + bytes([payload[-1] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert cache.verify(small).finding == "damaged"
    path.unlink()
    assert cache.verify(small).finding == "not here"


def test_without_a_published_digest_that_of_the_first_file_is_recorded_and_checked(
    small: Entry, folder: Path, brought: Path, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = small.model_copy(update={"sha256": None, "size_bytes": None})
    monkeypatch.setattr(cache, "find", lambda name: unknown)
    assert cache.verify(unknown).finding == "not here"
    cache.add("small", brought)
    assert cache.verify(unknown).finding == "whole"
    (folder / small.file).write_bytes(b"other")
    assert cache.verify(unknown).finding == "damaged"
    assert "it was " + digest in cache.verify(unknown).why
    receipt.receipt_path(folder / small.file).unlink()
    assert cache.verify(unknown).finding == "unchecked"


def test_embedded_weights_lie_in_the_package_and_need_no_cache(small: Entry, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(CacappError, match=r"weights 'own' belong to cacapp, but .*own.safetensors is missing: install cacapp anew"):
        cache.locate("own")
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "own.safetensors").write_bytes(b"abc")
    assert cache.locate("own") == tmp_path / "embedded" / "own.safetensors"
    assert cache.digest_of("own").startswith("ba7816bf")
    assert not folder.exists()


def test_a_cache_that_cannot_be_made_is_named_with_the_way_out(small: Entry, brought: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACAPP_WEIGHTS", str(brought / "weights"))
    with pytest.raises(CacappError, match=r"the folder for weights cannot be made .*name another with CACAPP_WEIGHTS"):
        cache.add("small", brought)


def test_without_the_variable_weights_lie_in_the_platforms_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CACAPP_WEIGHTS", raising=False)
    assert cache.folder().name == "weights"
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert cache.folder() == tmp_path / "cacapp" / "weights"
