"""How StarDist learns here: its own targets and losses, nothing from what is unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cacapp_stardist.network import StarNetwork, load_network
from cacapp_stardist.segmenter import StarDist
from cacapp_stardist.training import losses_of, target_of

from cacapp.testing.training_scenes import RecordedProgress, TrainedWeights
from cacapp.types import UNKNOWN, Array, TrainingSample


def disk(radius: float = 14) -> Array:
    y, x = np.mgrid[:64, :64]
    return (np.hypot(y - 32, x - 30) <= radius).astype(np.int16) * 5


def test_the_log_has_losses_and_the_precision_on_validation_images(trained: TrainedWeights) -> None:
    assert set(trained.log[0]) >= {"epoch", "loss_middle", "loss_distance", "AP@0.5"}
    assert trained.log[0]["AP@0.5"] > 0.5


def test_targets_are_the_distances_to_the_outline_and_the_nearness_to_the_middle() -> None:
    near, known, *rays = target_of(disk())
    assert np.array(rays)[:, 16, 15] == pytest.approx(14, abs=1)  # in the middle of the disk, on half the resolution
    assert np.unravel_index(near.argmax(), near.shape) == (16, 15)
    assert not np.array(rays)[:, 0, 0].any()
    assert known.all()


def test_unknown_pixels_change_no_weights() -> None:
    labels = disk()
    labels[:, 50:] = UNKNOWN
    target = torch.from_numpy(target_of(labels))[None]
    draw = torch.Generator().manual_seed(0)
    logits, distances = torch.randn(1, 32, 32, generator=draw), torch.randn(1, 32, 32, 32, generator=draw)
    before = losses_of(logits, distances, target)
    logits[..., 25:], distances[..., 25:] = 50.0, 50.0
    assert losses_of(logits, distances, target) == before


def test_the_same_seed_gives_the_same_file_and_another_start_is_taken(
    tmp_path: Path, trained: TrainedWeights, samples: list[TrainingSample], progress: RecordedProgress
) -> None:
    trainable = StarDist(start=str(trained.weights), epochs=1, crops=4, batch=2, crop_px=64, learning_rate=1e-6, device="cpu")
    one, two = (trainable.train(samples, tmp_path / name, 3, progress) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    begun, tuned = (load_network(path, str(path), "cpu").state_dict()["rays.weight"] for path in (trained.weights, one))
    assert torch.allclose(begun, tuned, atol=1e-3)
    assert not torch.allclose(StarNetwork().state_dict()["rays.weight"], tuned, atol=1e-2)
