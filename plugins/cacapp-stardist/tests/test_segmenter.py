"""StarDist, trained from scratch: what it finds, and what it says without weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cacapp_stardist.network import RAYS, StarNetwork
from cacapp_stardist.polygons import Stars, instances_of
from cacapp_stardist.segmenter import StarDist

from cacapp.algorithms.sam.tiled import ScaledFrame
from cacapp.arrays.metrics import match
from cacapp.exceptions import CacappError, UsageError
from cacapp.host import Host
from cacapp.testing.training_scenes import Frame, TrainedWeights
from cacapp.types import Prompts


def test_a_network_trained_for_a_minute_finds_most_nuclei_of_a_frame_it_never_saw(trained: TrainedWeights, unseen: Frame) -> None:
    found = StarDist(weights=str(trained.weights)).segment(unseen.dapi, Prompts.empty(), None)
    assert match(unseen.labels, found).average_precision(0.5) > 0.5
    assert all(0.5 <= one.score <= 1 for one in found)


def test_tiles_leave_no_seams(trained: TrainedWeights, unseen: Frame) -> None:
    one = StarDist(weights=str(trained.weights), diameter_px=40).segment(unseen.dapi, Prompts.empty(), None)
    many = StarDist(weights=str(trained.weights), diameter_px=40, tile_px=64).segment(unseen.dapi, Prompts.empty(), None)
    assert abs(len(one) - len(many)) <= 1


def test_a_polygon_is_a_mask_of_the_frame_at_its_own_scale() -> None:
    round_px = Stars(np.array([0.9]), np.array([[30.0, 40.0]]), np.full((1, RAYS), 12.0))
    (one,) = instances_of(round_px, ScaledFrame(np.zeros((60, 80), np.float32), 0.5, 120, 160))
    assert np.count_nonzero(one.mask) == pytest.approx(np.pi * 24**2, rel=0.03)
    x, y, w, h = one.bbox_xywh
    assert (x + w / 2, y + h / 2) == pytest.approx((81, 61), abs=1.5)


def test_a_polygon_beyond_the_edge_is_cut_there() -> None:
    edge = Stars(np.array([0.9, 0.8]), np.array([[2.0, 2.0], [-30.0, 5.0]]), np.full((2, RAYS), 10.0))
    (one,) = instances_of(edge, ScaledFrame(np.zeros((50, 50), np.float32), 1.0, 50, 50))
    assert one.bbox_xywh[:2] == (0, 0)


def test_without_weights_it_says_how_to_make_them(unseen: Frame) -> None:
    with pytest.raises(UsageError, match="train some with: cacapp train --model stardist"):
        StarDist().segment(unseen.dapi, Prompts.empty(), None)


def test_weights_of_another_network_are_refused(tmp_path: Path, unseen: Frame) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(CacappError, match="do not fit StarNetwork"):
        StarDist(weights=str(tmp_path / "other.pt")).segment(unseen.dapi, Prompts.empty(), None)


def test_the_maps_have_half_the_resolution() -> None:
    with torch.no_grad():
        middle, rays = StarNetwork().eval()(torch.zeros(2, 1, 64, 96))
    assert (middle.shape, rays.shape) == ((2, 32, 48), (2, RAYS, 32, 48))


def test_cacapp_finds_the_plugin_and_needs_no_tensorflow() -> None:
    found = Host.discover().find("segmenter", "stardist")
    assert (found.cls, found.distribution) == (StarDist, "cacapp-stardist")
    unwanted = "{'tensorflow', 'keras', 'skimage'}"
    code = f"import sys, cacapp_stardist.polygons, cacapp_stardist.training; sys.exit(bool({unwanted} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
