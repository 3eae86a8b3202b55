"""The SAM stays as it is; only the network that prompts it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cacapp_autosam.network import PromptNetwork
from cacapp_autosam.segmenter import AutoSam
from cacapp_autosam.training import batch_of, losses_of

from cacapp.testing.training_scenes import Frame, RecordedProgress, TrainedWeights
from cacapp.types import UNKNOWN, TrainingSample


def test_the_log_has_the_losses_and_the_precision_on_validation_images(trained: TrainedWeights) -> None:
    assert set(trained.log[0]) >= {"epoch", "loss_middle", "loss_mask", "loss_dice", "AP@0.5"}
    assert trained.log[0]["AP@0.5"] > 0.7


def test_gradients_reach_the_network_through_the_decoder_and_leave_the_sam_alone(unseen: Frame) -> None:
    sam = AutoSam(device="cpu")._sam()
    before = {name: value.clone() for name, value in sam.sam.state_dict().items()}
    sam.sam.requires_grad_(False)
    network = PromptNetwork()
    grey = (unseen.dapi[:256, :256] >> 8).astype(np.uint8)
    losses = losses_of(sam, network, batch_of([(grey, unseen.labels[:256, :256].astype(np.int16))], np.random.default_rng(0)))
    (losses["loss_mask"] + losses["loss_dice"]).backward()
    assert network.tokens.weight.grad is not None
    assert network.tokens.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in sam.sam.parameters())
    assert all(torch.equal(value, before[name]) for name, value in sam.sam.state_dict().items())


def test_unknown_pixels_change_no_weights(unseen: Frame) -> None:
    sam = AutoSam(device="cpu")._sam()
    labels = np.full((256, 256), UNKNOWN, np.int16)
    losses = losses_of(sam, PromptNetwork().eval(), batch_of([(np.zeros((256, 256), np.uint8), labels)], np.random.default_rng(0)))
    assert [float(value.detach()) for value in losses.values()] == pytest.approx([0, 0, 0])


def test_the_same_seed_gives_the_same_file(tmp_path: Path, samples: list[TrainingSample], progress: RecordedProgress) -> None:
    trainable = AutoSam(epochs=1, crops=2, batch=1, device="cpu")
    one, two = (trainable.train(samples, tmp_path / name, 3, progress) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
