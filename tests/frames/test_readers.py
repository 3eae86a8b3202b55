"""Several files are read at a time; what is found, and its order, is as if it had been one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from cacapp.frames import BadFile, discover
from cacapp.frames.scene import Scene
from cacapp.types import FrameSource

Make = Callable[..., Any]
module = import_module("cacapp.frames.discover")  # the package's attribute of this name is the function
scenes_of: Callable[[Path], list[Scene]] = module.scenes_of


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


@pytest.mark.parametrize("readers", [2, 4, 16])
def test_order_frames_and_refusals_are_those_of_one_reader(mixed: Path, readers: int) -> None:
    alone = list(discover([mixed, mixed / "gone.tif"]))
    assert {type(item) for item in alone} == {FrameSource, BadFile}
    assert list(discover([mixed, mixed / "gone.tif"], readers=readers)) == alone


@pytest.mark.parametrize("readers", [1, 3])
def test_no_more_are_read_at_a_time_than_said(mixed: Path, monkeypatch: pytest.MonkeyPatch, readers: int) -> None:
    now, most, lock = 0, 0, threading.Lock()

    def counted(path: Path) -> list[Scene]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return scenes_of(path)

    monkeypatch.setattr(module, "scenes_of", counted)
    assert len(list(discover([mixed], readers=readers))) == 42
    assert most == readers


def test_who_stops_does_not_wait_for_a_file_that_hangs(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()

    def slow(path: Path) -> list[Scene]:
        if path.name != "f00.ome.tif":
            hangs.wait(60)
        return scenes_of(path)

    monkeypatch.setattr(module, "scenes_of", slow)
    found = discover([mixed], readers=2)
    next(found)
    since = time.monotonic()
    found.close()  # type: ignore[attr-defined]
    assert time.monotonic() - since < 5
    hangs.set()


def test_it_is_said_how_many_files_there_are_before_one_is_read(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(path: Path) -> list[Scene]:
        raise AssertionError(path)

    monkeypatch.setattr(module, "scenes_of", never)
    told: list[int] = []
    discover([mixed, mixed / "gone.tif"], searched=told.append)
    assert told == [43]


def test_a_fault_of_the_program_in_a_reader_is_not_lost(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(path: Path) -> list[Scene]:
        raise AssertionError("a fault")

    monkeypatch.setattr(module, "scenes_of", fault)
    with pytest.raises(AssertionError, match="a fault"):
        list(discover([mixed], readers=2))
