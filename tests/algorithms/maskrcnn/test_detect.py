"""Masks of boxes as instances of a frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from cacapp.algorithms.maskrcnn.detect import Detections, instances_of
from cacapp.algorithms.maskrcnn.targets import target_of
from cacapp.algorithms.sam.tiled import ScaledFrame
from cacapp.algorithms.training.validation import average_precision, judged
from cacapp.types import UNKNOWN, Array, Instance, label_image


def ellipse(shape: tuple[int, int], y: float, x: float, a: float, b: float) -> Array:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 <= 1


def iou(a: Array, b: Array) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("zoom", [0.4, 1.0, 1.7])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_training_targets_decode_to_the_same_nuclei(zoom: float, shift: float) -> None:
    """A nucleus of the frame, seen at working scale, made a 28 x 28 target as in training, and pasted, is itself."""
    shape = (200, 240)
    whole = ellipse(shape, 90 + shift, 110 - shift, 26, 38)
    rows, columns = round(shape[0] * zoom), round(shape[1] * zoom)
    small = ellipse((rows, columns), (90.5 + shift) * zoom - 0.5, (110.5 - shift) * zoom - 0.5, 26 * zoom, 38 * zoom)
    target = target_of(small.astype(int))
    cells = project_masks_on_boxes(target["masks"], target["boxes"], torch.tensor([0]), 28).numpy()
    frame = ScaledFrame(np.zeros((rows, columns), np.float32), zoom, *shape)
    (found,) = instances_of(Detections(target["boxes"].numpy(), np.array([0.9], np.float32), cells), frame)
    painted = label_image([found], *shape) > 0
    assert iou(whole, painted) > (0.96 if zoom > 0.5 else 0.93)
    centre = np.argwhere(painted).mean(axis=0) - np.argwhere(whole).mean(axis=0)
    assert np.abs(centre).max() < 0.5


def test_a_nucleus_that_two_tiles_found_is_there_once() -> None:
    cells = ellipse((28, 28), 13.5, 13.5, 13, 13).astype(np.float32)
    boxes = np.array([[20, 20, 50, 50], [21, 20, 51, 50], [60, 20, 90, 50]], np.float32)
    found = Detections(boxes, np.array([0.8, 0.9, 0.7], np.float32), np.stack([cells] * 3))
    frame = ScaledFrame(np.zeros((100, 100), np.float32), 1.0, 100, 100)
    assert sorted(round(one.score, 1) for one in instances_of(found, frame)) == [0.7, 0.9]


def test_boxes_at_the_edge_stay_inside_the_frame() -> None:
    cells = np.ones((4, 28, 28), np.float32)
    boxes = np.array([[0, 0, 20, 20], [80, 0, 100, 20], [0, 80, 20, 100], [80, 80, 100, 100]], np.float32)
    frame = ScaledFrame(np.zeros((100, 100), np.float32), 1.0, 100, 100)
    for one in instances_of(Detections(boxes, np.ones(4, np.float32), cells), frame):
        x, y, w, h = one.bbox_xywh
        assert x >= 0
        assert y >= 0
        assert x + w <= 100
        assert y + h <= 100
        assert one.mask.shape == (h, w)


def test_nuclei_found_in_unknown_areas_are_not_judged() -> None:
    labels = np.zeros((60, 60), int)
    labels[:, 30:] = UNKNOWN
    square = np.ones((10, 10), bool)
    kept = judged([Instance((5, 5, 10, 10), square), Instance((40, 5, 10, 10), square), Instance((26, 5, 10, 10), square)], labels)
    assert [one.bbox_xywh[0] for one in kept] == [5]


def test_finds_in_the_unknown_cost_no_precision() -> None:
    labels = np.zeros((60, 60), int)
    labels[5:15, 5:15] = 4
    labels[:, 30:] = UNKNOWN
    square = np.ones((10, 10), bool)
    right, unknown, wrong = (Instance(box, square) for box in ((5, 5, 10, 10), (45, 5, 10, 10), (5, 40, 10, 10)))
    assert average_precision([right, unknown], labels) == 1
    assert average_precision([right, unknown, wrong], labels) == 0.5
    assert average_precision([], labels) == 0
