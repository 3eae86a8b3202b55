"""Worker processes are started while slides are ingested, with what they will need; not where there is nothing to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cacapp.cli.pipeline import _needed
from cacapp.engine.engine import _Local
from cacapp.fish.assay import load_assay
from cacapp.host import Host
from cacapp.steps.count import CountPlan
from cacapp.steps.segment import SegmentPlan
from cacapp.steps.work import Work


@pytest.mark.sqlite_only
def test_what_is_loaded_early_is_what_a_frame_needs() -> None:
    """With the modules loaded, building and pickling the default segmenter's work loads no torch any more."""
    work = Work("run", segment=SegmentPlan(), count=CountPlan(load_assay("katz-4color")))
    modules = _needed(Host.discover(), work)
    code = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
    code += "assert {'torch', 'aicsimageio', 'cacapp.algorithms.sam.models', 'cacapp.fish.spots'} <= set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_processes_start_with_ingest_and_not_for_what_is_done(
    cacapp: Callable[..., Any], small_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as there are frames enough; here two of them are, and one is not."""
    started: list[Sequence[str]] = []
    real = _Local.start

    def start(self: _Local, engine: str, modules: Sequence[str]) -> None:
        started.append(modules)
        real(self, engine, modules)

    monkeypatch.setattr(_Local, "start", start)
    monkeypatch.setattr("cacapp.engine.engine.processes_and_threads", lambda: (2, 1))
    command = ("run", small_slide, "--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100", "--segmenter", "coarse", "--no-report")
    monkeypatch.setattr("cacapp.engine.engine.ENOUGH_PX", 2 * 384 * 384 + 1)
    assert cacapp(*command).code == 0
    assert started == []
    monkeypatch.setattr("cacapp.engine.engine.ENOUGH_PX", 2 * 384 * 384)
    assert cacapp(*command, "--force").code == 0
    assert len(started) == 1
    assert "cacapp.algorithms.coarse" in started[0]
    assert cacapp(*command).code == 0
    assert cacapp("count").code == 0
    assert len(started) == 1
