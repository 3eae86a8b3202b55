"""AutoSAM, trained for less than a minute: what it finds without any prompt, and what it says without weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cacapp_autosam.middles import middles_of, target_of
from cacapp_autosam.network import PromptNetwork
from cacapp_autosam.segmenter import AutoSam
from safetensors.torch import load_file, save_file

from cacapp.arrays.metrics import match
from cacapp.exceptions import CacappError, UsageError
from cacapp.host import Host
from cacapp.testing.training_scenes import Frame, TrainedWeights
from cacapp.types import UNKNOWN, Prompts


def test_without_points_it_finds_nearly_all_nuclei_of_a_frame_it_never_saw(trained: TrainedWeights, unseen: Frame) -> None:
    found = AutoSam(weights=str(trained.weights)).segment(unseen.dapi, Prompts.empty(), None)
    assert match(unseen.labels, found).average_precision(0.5) > 0.8


def test_it_needs_no_prompter() -> None:
    assert not AutoSam.needs_prompts


def test_nothing_is_found_where_middles_must_be_surer_than_sure(trained: TrainedWeights, unseen: Frame) -> None:
    assert AutoSam(weights=str(trained.weights), middle=0.9999).segment(unseen.dapi, Prompts.empty(), None) == []


def test_summits_closer_than_two_cells_are_one_middle() -> None:
    plane = np.zeros((16, 16), np.float32)
    plane[4, 4], plane[4, 5], plane[10, 12] = 0.9, 0.8, 0.9
    assert sorted(map(tuple, middles_of(plane, 0.5).tolist())) == [(4, 4), (10, 12)]


def test_a_nucleus_is_taught_in_its_middle_and_a_sliver_not_at_all() -> None:
    labels = np.zeros((64, 64), np.int16)
    labels[10:30, 20:40] = 3
    labels[60:61, 0:10] = 9
    labels[:, 56:] = UNKNOWN
    summits, known, values, cells = target_of(labels)
    assert values.tolist() == [3]
    assert cells.tolist() == [[2, 3]]
    assert np.unravel_index(summits.argmax(), summits.shape) == (2, 3)
    assert known[:, :7].all()
    assert not known[:, 7].any()


def test_without_weights_it_says_how_to_make_them(unseen: Frame) -> None:
    with pytest.raises(UsageError, match="train some with: cacapp train --model autosam"):
        AutoSam().segment(unseen.dapi, Prompts.empty(), None)


def test_weights_of_another_network_are_refused(tmp_path: Path, unseen: Frame) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(CacappError, match="do not fit PromptNetwork"):
        AutoSam(weights=str(tmp_path / "other.pt")).segment(unseen.dapi, Prompts.empty(), None)


def test_weights_that_prompt_another_sam_are_refused(tmp_path: Path, trained: TrainedWeights, unseen: Frame) -> None:
    save_file(load_file(trained.weights), tmp_path / "strange.safetensors", metadata={"sam": "ab" * 32})
    with pytest.raises(CacappError, match=r"was trained to prompt nuclei_t abababababab\.\.\.,.*train it again"):
        AutoSam(weights=str(tmp_path / "strange.safetensors")).segment(unseen.dapi, Prompts.empty(), None)


def test_the_network_is_small() -> None:
    assert sum(p.numel() for p in PromptNetwork().parameters()) < 600_000


def test_cacapp_finds_the_plugin() -> None:
    assert Host.discover().find("segmenter", "autosam").distribution == "cacapp-autosam"
