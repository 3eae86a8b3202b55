"""Segmenter ``dense`` on simulated nuclei: trained for a few seconds, and with the shipped weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cacapp.algorithms.dense.network import NUCLEUS_PX, DenseNetwork
from cacapp.algorithms.dense.segmenter import Dense
from cacapp.algorithms.dense.targets import losses_of, targets_of
from cacapp.arrays.metrics import match
from cacapp.exceptions import CacappError, UsageError
from cacapp.simulation import SlideModel, simulate_frame
from cacapp.types import UNKNOWN, Array, Prompts


@pytest.fixture(scope="module")
def trainable() -> Dense:
    """With the weights that come with cacapp."""
    return Dense(device="cpu")


@pytest.fixture(scope="module")
def frame() -> tuple[Array, Array]:
    made = simulate_frame(SlideModel(), np.random.default_rng(11), 620, 700, 24)
    return made.planes[0], made.labels.astype(np.int32)


def test_training_lowers_the_loss_and_raises_the_precision(taught: Any) -> None:
    assert taught.log[-1]["loss"] < 0.7 * taught.log[0]["loss"]
    assert taught.log[-1]["AP@0.5"] > taught.log[0]["AP@0.5"]
    with safe_open(str(taught.weights), "pt") as file:
        about = file.metadata()
    assert (about["model"], about["seed"]) == ("dense", "3")
    assert taught.weights.stat().st_size < 6e6
    assert not (taught.weights.parent / "images").exists()


def test_it_finds_nuclei_it_has_not_seen(trainable: Dense, frame: tuple[Array, Array]) -> None:
    found = match(frame[1], trainable.segment(frame[0], Prompts.empty(), None))
    assert found.average_precision(0.5) > 0.9
    assert found.object_dice() > 0.9


def test_the_same_frame_gives_the_same_masks(trainable: Dense, frame: tuple[Array, Array]) -> None:
    one, two = (trainable.segment(frame[0], Prompts.empty(), None) for _ in range(2))
    assert [(i.bbox_xywh, i.score) for i in one] == [(i.bbox_xywh, i.score) for i in two]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(one, two, strict=True))


def test_the_size_of_tiles_changes_no_count(trainable: Dense, frame: tuple[Array, Array]) -> None:
    sized = trainable.model_copy(update={"diameter_px": 72.0})
    counts = {len(sized.model_copy(update={"tile_px": side}).segment(frame[0], Prompts.empty(), None)) for side in (96, 160, 768)}
    assert len(counts) == 1


@pytest.mark.parametrize("shape", [(40, 50), (9, 300), (1, 1)])
def test_a_frame_without_nuclei_gives_none_whatever_its_shape(trainable: Dense, shape: tuple[int, int]) -> None:
    assert trainable.segment(np.full(shape, 100, np.uint16), Prompts.empty(), None) == []


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"stem.weight": torch.zeros(3)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(CacappError, match=r"other\.safetensors"):
        Dense(weights=str(tmp_path / "other.safetensors"), device="cpu").segment(np.zeros((64, 64), np.uint8), Prompts.empty(), None)
    with pytest.raises(UsageError, match="no such file"):
        Dense(weights=str(tmp_path / "gone.safetensors"), device="cpu").segment(np.zeros((64, 64), np.uint8), Prompts.empty(), None)


def test_targets_point_from_each_pixel_to_its_nucleus_centre() -> None:
    labels = np.zeros((64, 64), np.int64)
    labels[20:40, 10:50] = 1
    target = targets_of(labels)
    assert target.shape == (5, 32, 32)
    assert (target[0] == (labels[::2, ::2] > 0)).all()
    y, x = 12, 20  # at full resolution (24, 40); the centre lies at (29, 29)
    assert (y + 8 * target[2, y, x], x + 8 * target[3, y, x]) == (pytest.approx(14.5), pytest.approx(14.5))


def test_unknown_pixels_change_no_weights() -> None:
    torch.manual_seed(0)
    network = DenseNetwork().train()
    image = torch.rand(1, 1, 64, 64)
    nothing = torch.from_numpy(targets_of(np.full((64, 64), UNKNOWN, np.int64)))[None]
    losses = losses_of(network(image), nothing)
    assert float((losses["foreground"] + losses["border"] + losses["offset"]).detach()) == 0
    half = np.zeros((64, 64), np.int64)
    half[8:24, 8:24] = 1
    half[32:] = UNKNOWN
    output = torch.zeros(1, 4, 32, 32, requires_grad=True)
    torch.stack(list(losses_of(output, torch.from_numpy(targets_of(half))[None]).values())).sum().backward()
    assert output.grad is not None
    assert float(output.grad[0, :, 16:].abs().sum()) == 0
    assert float(output.grad[0, :, :15].abs().sum()) > 0
    assert NUCLEUS_PX == 40
