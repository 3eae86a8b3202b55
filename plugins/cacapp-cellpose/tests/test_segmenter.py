"""Cellpose itself, trained from scratch: what it finds, and what it says where weights are missing or strange."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cacapp_cellpose.network import build
from cacapp_cellpose.segmenter import Cellpose

from cacapp.arrays.metrics import match
from cacapp.exceptions import CacappError, UsageError
from cacapp.host import Host
from cacapp.testing.training_scenes import Frame, TrainedWeights
from cacapp.types import Instance, Prompts


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACAPP_WEIGHTS", str(tmp_path / "cache"))


def test_a_network_trained_for_a_minute_finds_most_nuclei_of_a_frame_it_never_saw(trained: TrainedWeights, unseen: Frame) -> None:
    found = Cellpose(weights=str(trained.weights)).segment(unseen.dapi, Prompts.empty(), None)
    assert match(unseen.labels, found).average_precision(0.5) > 0.6
    assert all(0.5 < one.score <= 1 for one in found)


def test_a_given_diameter_decides_the_scale(trained: TrainedWeights, unseen: Frame) -> None:
    def found(**given: float) -> list[Instance]:
        return Cellpose(weights=str(trained.weights), **given).segment(unseen.dapi, Prompts.empty(), None)

    measured, wrong, absurd = found(), found(diameter_px=100), found(diameter_px=600)
    right = match(unseen.labels, measured)
    assert match(unseen.labels, wrong).iou.mean() < right.iou.mean()
    assert match(unseen.labels, absurd).average_precision(0.75) < right.average_precision(0.75)


@pytest.mark.parametrize(("name", "file"), [("nuclei", "nucleitorch_0"), ("cyto3", "cyto3")])
def test_missing_weights_are_told_with_the_ways_to_get_them(name: str, file: str, unseen: Frame) -> None:
    with pytest.raises(CacappError) as told:
        Cellpose(weights=name).segment(unseen.dapi, Prompts.empty(), None)
    line = str(told.value)
    assert f"cacapp weights pull cellpose-{name}" in line
    assert f"https://www.cellpose.org/models/{file}" in line
    assert "--set weights=FILE" in line
    assert "\n" not in line


def test_a_name_that_is_no_model_and_no_file_is_told_so() -> None:
    with pytest.raises(UsageError, match=r"neither a model of Cellpose \(nuclei, cyto3\) nor a file"):
        Cellpose(weights="nuclie").weights_sha256()


def test_a_file_that_cellpose_saved_is_taken_with_the_diameter_it_states(tmp_path: Path, unseen: Frame) -> None:
    network = build(21.0)
    network.save_model(str(tmp_path / "mine"))
    mine = Cellpose(weights=str(tmp_path / "mine"))
    mine.segment(unseen.dapi, Prompts.empty(), None)  # random weights: it runs, whatever it finds
    assert len(mine.weights_sha256() or "") == 64


def test_a_file_from_before_the_diameters_were_stored_is_taken(tmp_path: Path, unseen: Frame) -> None:
    state = {name: value for name, value in build(30.0).state_dict().items() if not name.startswith("diam")}
    torch.save(state, tmp_path / "old")
    Cellpose(weights=str(tmp_path / "old")).segment(unseen.dapi, Prompts.empty(), None)


def test_weights_of_cellpose_sam_are_refused_with_the_reason(tmp_path: Path, unseen: Frame) -> None:
    torch.save({"W2": torch.zeros(3)}, tmp_path / "cpsam")
    with pytest.raises(CacappError, match="licence is non-commercial; this plugin runs Cellpose 3"):
        Cellpose(weights=str(tmp_path / "cpsam")).segment(unseen.dapi, Prompts.empty(), None)


def test_weights_of_another_network_are_refused(tmp_path: Path, unseen: Frame) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "other")
    with pytest.raises(CacappError, match="do not fit CPnet"):
        Cellpose(weights=str(tmp_path / "other")).segment(unseen.dapi, Prompts.empty(), None)


def test_cacapp_finds_the_plugin_and_loads_no_cellpose_for_it() -> None:
    found = Host.discover().find("segmenter", "cellpose")
    assert (found.cls, found.distribution) == (Cellpose, "cacapp-cellpose")
    code = "import sys; from cacapp.host import Host; Host.discover(); sys.exit('cellpose' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
