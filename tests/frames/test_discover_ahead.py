"""Files are hashed ahead by several threads; what is found, and its order, is as if they had been read one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from cacapp.frames import BadFile, digest, discover
from cacapp.frames.choose_reader import Readers
from cacapp.frames.opened import OpenedFile
from cacapp.types import FrameSource

Make = Callable[..., Any]
module = import_module("cacapp.frames.discover")  # the package's attribute of this name is the function


@pytest.fixture
def mixed(tmp_path: Path, stack: Make, ome: Make) -> Path:
    """Forty files: frames, broken ones, an empty one and two that would be the same frame."""
    for n in range(40):
        path = ome(tmp_path / f"f{n:02}.ome.tif", stack())
        if n % 7 == 3:
            path.write_bytes(path.read_bytes()[: 50 * n])
    (tmp_path / "other").mkdir()
    ome(tmp_path / "other" / "f00.ome.tif", stack())
    (tmp_path / "g.tif").write_bytes(b"")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("readers", [2, 4, 16])
def test_order_frames_and_refusals_are_those_of_one_reader(mixed: Path, readers: int) -> None:
    alone = list(discover([mixed, mixed / "gone.tif"]))
    assert {type(item) for item in alone} == {FrameSource, BadFile}
    assert list(discover([mixed, mixed / "gone.tif"], readers=readers)) == alone


class Reading:
    """Stands in for the reading of files to hash: counts how many are read at a time, and by whom; ``hang_on``: a file's name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hang_on: str = "") -> None:
        self.most = self.now = 0
        self.hanging = threading.Event()
        self.hang_on, self.hangs, self.lock = hang_on, threading.Event(), threading.Lock()
        self.by: list[str] = []
        self.original = digest._read
        monkeypatch.setattr(digest, "_read", self.read)

    def read(self, path: Path, size: int) -> str:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.by.append(threading.current_thread().name)
        if path.name == self.hang_on:
            self.hanging.set()
            self.hangs.wait(60)
            self.hanging.clear()
        time.sleep(0.01)
        with self.lock:
            self.now -= 1
        return self.original(path, size)


def test_one_reader_reads_in_the_calling_thread_alone(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Reading(monkeypatch)
    assert list(discover([mixed]))
    assert reading.most == 1
    assert set(reading.by) == {threading.current_thread().name}


def test_several_are_read_at_a_time_and_each_once(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Reading(monkeypatch)
    assert list(discover([mixed], readers=3))
    assert 2 <= reading.most <= 4
    assert len(reading.by) == 42  # bad files are read ahead too
    assert reading.by.count("cacapp-hash") > 30


def test_stopping_does_not_wait_for_a_file_that_hangs(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Reading(monkeypatch, hang_on="f02.ome.tif")
    found = discover([mixed], readers=2)
    assert isinstance(found, Generator)
    next(found)
    assert reading.hanging.wait(60)
    found.close()
    assert reading.hanging.is_set()
    reading.hangs.set()


def test_a_file_that_cannot_be_read_ahead_is_refused_by_its_own_words(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, size: int) -> str:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(digest, "_read", refuse)
    assert list(discover([mixed], readers=3)) == list(discover([mixed]))


def test_the_number_of_files_is_reported_before_one_is_read(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(path: Path, installed: Readers) -> OpenedFile:
        raise AssertionError(path)

    monkeypatch.setattr(module, "open_file", never)
    told: list[int] = []
    (mixed / "empty").mkdir()
    for places in ([mixed, mixed / "gone.tif"], [mixed / "empty"]):
        discover(places, searched=told.append)
    assert told == [43, 0]
