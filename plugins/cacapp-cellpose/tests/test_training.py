"""How Cellpose learns here: from pseudo-labels, nothing from what is unknown, and on after a stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cacapp_cellpose.network import build, read_state
from cacapp_cellpose.segmenter import Cellpose
from cacapp_cellpose.training import losses_of, normalised, target_of

from cacapp.exceptions import CacappError
from cacapp.testing.training_scenes import RecordedProgress, TrainedWeights
from cacapp.types import UNKNOWN, TrainingSample


class StoppedError(Exception):
    pass


class Stopping(RecordedProgress):
    """Progress that breaks the training off at a step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def advance(self, note: str = "", by: int = 1) -> None:
        super().advance(note, by)
        if len([n for n in self.notes if n.startswith("epoch")]) >= self.at:
            raise StoppedError


def test_the_log_has_losses_and_the_precision_on_validation_images(trained: TrainedWeights) -> None:
    assert set(trained.log[0]) >= {"epoch", "loss_flow", "loss_cell", "AP@0.5"}
    assert trained.log[0]["AP@0.5"] > 0.5


def test_the_diameter_goes_with_the_weights(trained: TrainedWeights) -> None:
    state = read_state(trained.weights, 30.0)
    assert (float(state["diam_mean"]), float(state["diam_labels"])) == (17.0, 17.0)


def test_unknown_pixels_change_no_weights() -> None:
    labels = np.zeros((64, 64), np.int16)
    labels[20:40, 20:40] = 1
    labels[:, 48:] = UNKNOWN
    target = torch.from_numpy(target_of(labels))[None]
    output = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before = losses_of(output, target)
    output[..., 48:] = 50.0
    assert losses_of(output, target) == before


def test_flows_have_length_one_and_point_to_the_middle() -> None:
    labels = np.zeros((64, 64), np.int16)
    labels[20:41, 20:41] = 7
    _, y, x, _ = target_of(labels)
    inside = labels > 0
    assert np.hypot(y, x)[inside].max() == pytest.approx(1, abs=1e-3)
    assert y[22, 30] > 0.9
    assert x[30, 38] < -0.9
    assert not y[~inside].any()


def test_images_are_normalised_as_cellpose_does() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 80)).astype(np.uint8)
    grey, empty = normalised(image)
    assert np.percentile(grey, (1, 99)) == pytest.approx((0, 1), abs=1e-6)
    assert not empty.any()


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path: Path, samples: list[TrainingSample], progress: RecordedProgress) -> None:
    trainable = Cellpose(start="none", epochs=2, crops=4, batch=2, crop_px=64, device="cpu")
    unbroken = trainable.train(samples, tmp_path / "one", 3, progress)
    with pytest.raises(StoppedError):
        trainable.train(samples, tmp_path / "two", 3, Stopping(at=3))
    again = trainable.train(samples, tmp_path / "two", 3, progress)
    assert any("goes on at step 2" in note for note in progress.notes)
    assert again.read_bytes() == unbroken.read_bytes()


def test_fine_tuning_begins_with_the_weights_that_are_named(
    tmp_path: Path, trained: TrainedWeights, samples: list[TrainingSample], progress: RecordedProgress
) -> None:
    trainable = Cellpose(start=str(trained.weights), epochs=1, crops=2, batch=2, crop_px=64, learning_rate=1e-6, device="cpu")
    tuned = read_state(trainable.train(samples, tmp_path, 0, progress), 30.0)
    begun, random = read_state(trained.weights, 30.0), build(17.0).state_dict()
    name = "output.2.weight"
    assert torch.allclose(tuned[name], begun[name], atol=1e-3)
    assert not torch.allclose(tuned[name], random[name], atol=1e-2)


def test_fine_tuning_without_cellposes_weights_names_the_way_out(
    tmp_path: Path, samples: list[TrainingSample], progress: RecordedProgress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACAPP_WEIGHTS", str(tmp_path))
    with pytest.raises(CacappError, match=r"cacapp weights pull cellpose-nuclei.*to train from scratch instead: --set start=none"):
        Cellpose().train(samples, tmp_path / "out", 0, progress)
    assert not (tmp_path / "out").exists()
