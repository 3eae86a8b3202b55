"""A frame is opened from what the database keeps, and only if its files are those of ingest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cacapp.exceptions import CacappError
from cacapp.frames import State, known_digests, open_frame, sha256_of
from cacapp.types import CHANNELS

Make = Callable[..., Any]


def test_a_missing_file_is_refused_by_name(tmp_path: Path, stack: Make, ome: Make, one_frame: Make) -> None:
    path = ome(tmp_path / "f.ome.tif", stack())
    source = one_frame(path)
    path.unlink()
    with pytest.raises(CacappError, match=r"frame f: .*f\.ome\.tif is missing; put it back"):
        open_frame(source)


def test_a_file_changed_since_ingest_is_refused_by_name(tmp_path: Path, plane: Make, one_frame: Make) -> None:
    for name in CHANNELS:
        cv2.imwrite(str(tmp_path / f"f_{name}.png"), plane(name))
    source = one_frame(tmp_path)
    cv2.imwrite(str(tmp_path / "f_gold.png"), plane("gold", offset=1))
    with pytest.raises(CacappError, match=r"f_gold\.png has changed since ingest"):
        open_frame(source)
    assert open_frame(source, verify=False).channel("gold")[0, 0] == plane("gold")[0, 0] + 1


def test_a_changed_file_of_another_size_is_refused_even_unverified(tmp_path: Path, stack: Make, ome: Make, one_frame: Make) -> None:
    path = ome(tmp_path / "f.ome.tif", stack())
    source = one_frame(path)
    ome(path, stack()[:, :20])
    with pytest.raises(CacappError, match=r"ingest saw uint16 \(24, 40\)"):
        open_frame(source, verify=False).channel("DAPI")


def test_a_file_cut_after_it_was_opened_gives_one_line(tmp_path: Path, stack: Make, ome: Make, one_frame: Make) -> None:
    path = ome(tmp_path / "f.ome.tif", stack())
    frame = open_frame(one_frame(path))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(CacappError, match=r"frame f, channel red: .*truncated") as refused:
        frame.channel("red")
    assert "\n" not in str(refused.value)


def test_a_frame_travels_to_another_process(tmp_path: Path, stack: Make, ome: Make, plane: Make, one_frame: Make) -> None:
    frame = open_frame(one_frame(ome(tmp_path / "f.ome.tif", stack())))
    frame.channel("DAPI")
    there = pickle.loads(pickle.dumps(frame))
    np.testing.assert_array_equal(there.channel("red"), plane("red"))


def test_pixels_may_be_written_to_without_changing_the_next_read(
    tmp_path: Path, stack: Make, ome: Make, plane: Make, one_frame: Make
) -> None:
    frame = open_frame(one_frame(ome(tmp_path / "f.ome.tif", stack())))
    frame.channel("DAPI")[:] = 0
    np.testing.assert_array_equal(frame.channel("DAPI"), plane("DAPI"))


def test_the_digest_is_that_of_the_contents(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert sha256_of(path) == hashlib.sha256(b"abc").hexdigest()


def test_a_digest_is_not_remembered_past_a_change(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    sha256_of(path)
    path.write_bytes(b"abd")
    os.utime(path, ns=(1, 1))
    assert sha256_of(path) == hashlib.sha256(b"abd").hexdigest()


def test_setting_the_time_of_writing_back_hides_no_change(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    sha256_of(path)
    was = path.stat()
    with path.open("r+b") as file:
        file.write(b"abd")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns, now.st_ino) == (was.st_size, was.st_mtime_ns, was.st_ino)
    assert sha256_of(path) == hashlib.sha256(b"abd").hexdigest()


def test_another_process_takes_a_digest_over_and_reads_the_file_again_only_where_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert known_digests([path, tmp_path / "none"]) == {}
    digest = sha256_of(path)
    taken_over = known_digests([path, tmp_path / "none"])
    assert list(taken_over.values()) == [digest]
    code = "import json, sys; from cacapp.frames import add_known_digests, sha256_of; "
    code += "add_known_digests({tuple(k): v for k, v in json.loads(sys.argv[2])}); print(sha256_of(sys.argv[1]))"

    def there(digests: dict[State, str]) -> str:
        words = [sys.executable, "-c", code, str(path), json.dumps(list(digests.items()))]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    assert there(dict.fromkeys(taken_over, "no digest")) == "no digest"  # it was not read
    path.write_bytes(b"abd")
    os.utime(path, ns=(1, 1))
    assert known_digests([path]) == {}
    assert there(dict.fromkeys(taken_over, "no digest")) == hashlib.sha256(b"abd").hexdigest()


def test_the_latest_digests_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cacapp.frames.digest._known", {})
    monkeypatch.setattr("cacapp.frames.digest._REMEMBERED", 3)
    paths = [tmp_path / str(n) for n in range(5)]
    for path in paths:
        path.write_text(path.name)
        sha256_of(path)
    assert [Path(state[0]).name for state in known_digests(paths)] == ["2", "3", "4"]


def test_the_digest_of_a_folder_is_that_of_names_and_contents(tmp_path: Path) -> None:
    for folder in ("a", "b", "c", "d"):
        (tmp_path / folder / "0").mkdir(parents=True)
        (tmp_path / folder / "0/x").write_bytes(b"1" if folder != "c" else b"2")
    (tmp_path / "d/0/x").rename(tmp_path / "d/0/y")
    digests = [sha256_of(tmp_path / f) for f in "abcd"]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_frames_of_equal_files_share_a_digest_wherever_they_lie(tmp_path: Path, plane: Make, one_frame: Make) -> None:
    sources = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in CHANNELS:
            cv2.imwrite(str(tmp_path / folder / f"{folder}_{name}.png"), plane(name))
        sources.append(one_frame(tmp_path / folder))
    assert sources[0].sha256 == sources[1].sha256
    assert dataclasses.replace(sources[0], name="x") != sources[0]


def test_importing_frames_imports_no_image_library() -> None:
    code = "import sys, cacapp.frames; print([m for m in ('aicsimageio', 'tifffile', 'zarr', 'dask', 'xarray') if m in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
