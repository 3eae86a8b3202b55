"""Worker processes are started while slides are ingested, with what they will need; not where there is nothing to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from cacapp.engine import Engine
from cacapp.engine.process import start_process
from cacapp.fish.assay.read import load_assay
from cacapp.frames.choose_reader import Readers
from cacapp.frames.opened import OpenedFile, open_file
from cacapp.host import Host
from cacapp.runs.plan import CountPlan, SegmentPlan
from cacapp.runs.request import PipelineRequest
from cacapp.steps.pipeline import _needed_modules


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_what_is_loaded_early_is_what_a_frame_needs() -> None:
    """With the modules loaded, building and pickling the default segmenter's work loads no torch any more."""
    request = PipelineRequest("run", segment=SegmentPlan(), count=CountPlan(load_assay("katz-4color")))
    modules = _needed_modules(Host.discover(), request)
    code = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
    code += "assert {'torch', 'tifffile', 'cacapp.algorithms.dense.network', 'cacapp.fish.signals.judge'} <= set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_processes_start_with_ingest_and_not_for_what_is_done(
    cacapp: Callable[..., Any], small_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as there are frames enough; here two of them are, and one is not."""
    started: list[Sequence[str]] = []

    def start(engine: str, modules: Sequence[str]) -> None:
        started.append(modules)
        start_process(engine, modules)

    monkeypatch.setattr("cacapp.engine.engine.start_process", start)
    monkeypatch.setattr("cacapp.engine.engine.processes", lambda: 2)
    command = ("run", small_slide, "--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100", "--segmenter", "coarse", "--no-report")
    monkeypatch.setattr("cacapp.engine.engine.ENOUGH_PX", 2 * 384 * 384 + 1)
    assert cacapp(*command).code == 0
    assert started == []
    monkeypatch.setattr("cacapp.engine.engine.ENOUGH_PX", 2 * 384 * 384)
    assert cacapp(*command, "--force").code == 0
    assert len(started) == 2
    assert all("cacapp.algorithms.coarse" in modules for modules in started)
    assert cacapp(*command).code == 0
    assert cacapp("count").code == 0
    assert len(started) == 2


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_as_many_as_the_user_says_start_before_the_first_file_is_read(
    cacapp: Callable[..., Any], small_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How large the frames are need not be known then; no more than there are files."""
    module = import_module("cacapp.frames.discover")  # the package's attribute of this name is the function
    happened: list[str] = []

    def read(path: Path, installed: Readers) -> OpenedFile:
        happened.append("read")
        return open_file(path, installed)

    monkeypatch.setattr(module, "open_file", read)
    monkeypatch.setattr("cacapp.engine.engine.start_process", lambda *_: happened.append("start"))
    command = ("run", small_slide, "--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100", "--segmenter", "coarse", "--no-report")
    for workers, started in ((5, 2), (1, 1)):
        happened.clear()
        assert cacapp(*command, "--force", "--workers", workers).code == 0
        assert happened == ["start"] * started + ["read"] * 2


@pytest.mark.slow
def test_each_step_says_how_much_work_is_to_come(cacapp: Callable[..., Any], small_slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a command that ingests nothing works in processes too."""
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(Engine, "expect", lambda self, frames, pixels, modules=(): told.append((frames, pixels)))
    assert cacapp("ingest", small_slide, "--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100").code == 0
    steps = (("segment", "--segmenter", "coarse"), ("pseudo-label",), ("count",), ("import-labels", small_slide, "--slide", "S1"))
    for number, words in enumerate(steps, 1):
        assert cacapp(*words).code == 0
        assert told == [(2, 2 * 384 * 384)] * number
