"""MACD R-CNN after a training of a minute that began with the weights of ``maskrcnn``."""

from __future__ import annotations

from pathlib import Path

import pytest
from cacapp_macd_rcnn.network import build, load_network
from cacapp_macd_rcnn.segmenter import MacdRcnn

from cacapp.arrays.metrics import match
from cacapp.exceptions import CacappError, UsageError
from cacapp.host import Host
from cacapp.testing.training_scenes import Frame, RecordedProgress, TrainedWeights
from cacapp.types import Prompts, TrainingSample
from cacapp.weights.cache import locate


def test_after_a_minute_it_finds_nearly_all_nuclei_of_a_frame_it_never_saw(trained: TrainedWeights, unseen: Frame) -> None:
    found = MacdRcnn(weights=str(trained.weights)).segment(unseen.dapi, Prompts.empty(), None)
    assert match(unseen.labels, found).average_precision(0.5) > 0.8


def test_the_log_has_losses_and_the_precision_on_validation_images(trained: TrainedWeights) -> None:
    assert set(trained.log[0]) >= {"epoch", "loss_classifier", "loss_box_reg", "loss_mask", "AP@0.5"}


def test_a_file_says_itself_whether_it_has_the_edge_head(
    trained: TrainedWeights, tmp_path: Path, samples: list[TrainingSample], progress: RecordedProgress
) -> None:
    with_edges = load_network(trained.weights, "one", "cpu").state_dict()
    assert any("mask_predictor.edge." in name for name in with_edges)
    trainable = MacdRcnn(epochs=1, crops=2, crop_px=96, batch=2, device="cpu")
    plain = load_network(trainable.train(samples, tmp_path, 0, progress), "two", "cpu").state_dict()
    assert plain.keys() == build(edges=False).state_dict().keys()


def test_without_weights_it_says_how_to_make_them(unseen: Frame) -> None:
    with pytest.raises(UsageError, match="train some: cacapp train --model macd-rcnn"):
        MacdRcnn().segment(unseen.dapi, Prompts.empty(), None)


def test_the_weights_of_maskrcnn_alone_are_refused(unseen: Frame) -> None:
    with pytest.raises(CacappError, match=r"do not fit GeneralizedRCNN; missing: backbone\.attention"):
        MacdRcnn(weights=str(locate("maskrcnn-nuclei"))).segment(unseen.dapi, Prompts.empty(), None)


def test_cacapp_finds_the_plugin() -> None:
    assert Host.discover().find("segmenter", "macd-rcnn").distribution == "cacapp-macd-rcnn"
