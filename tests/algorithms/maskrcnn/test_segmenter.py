"""Segmenter ``maskrcnn`` on simulated nuclei: trained for a few seconds, and with the shipped weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from cacapp.algorithms.maskrcnn.detect import detect, instances_of
from cacapp.algorithms.maskrcnn.model import load_network
from cacapp.algorithms.maskrcnn.network import NUCLEUS_PX
from cacapp.algorithms.maskrcnn.segmenter import MaskRcnn
from cacapp.algorithms.sam.tiled import scaled_frame
from cacapp.arrays.metrics import match
from cacapp.exceptions import CacappError, UsageError
from cacapp.simulation import SlideModel, simulate_frame
from cacapp.types import UNKNOWN, Array, Prompts, TrainingSample
from cacapp.weights.cache import choose


@pytest.fixture(scope="module")
def trainable() -> MaskRcnn:
    """With the weights that come with cacapp."""
    return MaskRcnn(device="cpu")


@pytest.fixture(scope="module")
def frame() -> tuple[Array, Array]:
    made = simulate_frame(SlideModel(), np.random.default_rng(11), 620, 700, 24)
    return made.planes[0], made.labels.astype(np.int32)


def test_training_lowers_the_loss_and_raises_the_precision(taught: Any) -> None:
    assert taught.log[-1]["loss"] < 0.8 * taught.log[0]["loss"]
    assert taught.log[-1]["AP@0.5"] > 0.8
    with safe_open(str(taught.weights), "pt") as file:
        about = file.metadata()
    assert (about["model"], about["architecture"], about["seed"]) == ("maskrcnn", "light", "3")
    assert taught.weights.stat().st_size < 6.8e6
    assert not (taught.weights.parent / "images").exists()


def test_it_finds_nuclei_it_has_not_seen(trainable: MaskRcnn, frame: tuple[Array, Array]) -> None:
    dapi, truth = frame
    found = match(truth, trainable.segment(dapi, Prompts.empty(), None))
    assert found.average_precision(0.5) > 0.85
    assert found.object_dice() > 0.85


def test_the_same_frame_gives_the_same_masks(trainable: MaskRcnn, frame: tuple[Array, Array]) -> None:
    one, two = (trainable.segment(frame[0], Prompts.empty(), None) for _ in range(2))
    assert [(i.bbox_xywh, i.score) for i in one] == [(i.bbox_xywh, i.score) for i in two]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(one, two, strict=True))


def test_a_shift_or_another_size_of_tiles_changes_no_count(trainable: MaskRcnn, frame: tuple[Array, Array]) -> None:
    network = load_network(*choose(trainable.weights), "cpu")
    scaled = scaled_frame(frame[0], 72.0, NUCLEUS_PX)
    tilings = ((640, (0, 0)), (128, (0, 0)), (128, (64, 32)), (160, (96, 128)))
    counts = [len(instances_of(detect(network, scaled.image, core_px, trainable.min_score, shift), scaled)) for core_px, shift in tilings]
    assert counts == [int(frame[1].max())] * 4


def test_an_empty_plane_has_no_nuclei(trainable: MaskRcnn) -> None:
    assert trainable.segment(np.full((200, 220), 100, np.uint16), Prompts.empty(), None) == []


@pytest.mark.parametrize("shape", [(230, 240), (250, 500)])
def test_a_frame_of_any_shape_is_taken(trainable: MaskRcnn, frame: tuple[Array, Array], shape: tuple[int, int]) -> None:
    dapi, truth = (whole[: shape[0], : shape[1]] for whole in frame)
    assert match(truth, trainable.segment(np.ascontiguousarray(dapi), Prompts.empty(), None)).average_precision(0.5) > 0.5


def test_without_an_accepted_label_there_is_nothing_to_learn(tmp_path: Path) -> None:
    class Quiet:
        def start(self, what: str, total: int) -> None: ...
        def advance(self, note: str = "", by: int = 1) -> None: ...
        def warn(self, line: str) -> None: ...

    empty = TrainingSample(np.zeros((80, 80), np.uint8), np.full((80, 80), UNKNOWN, np.int32))
    with pytest.raises(CacappError, match="nothing can be learnt: none of the 2 training images has an accepted label"):
        MaskRcnn().train([empty, empty], tmp_path, 0, Quiet())


def test_weights_that_are_not_there_are_named() -> None:
    with pytest.raises(UsageError, match=r"nix\.safetensors: no such file"):
        MaskRcnn(weights="nix.safetensors").segment(np.zeros((50, 50), np.uint8), Prompts.empty(), None)
