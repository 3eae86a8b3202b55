"""The real segment-anything code path, with weights of the true shapes made here."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from segment_anything import sam_model_registry

from cacapp.algorithms.prompting import prompts_of
from cacapp.algorithms.sam.models import load_sam
from cacapp.algorithms.sam.nuclei_t import build_nuclei_t
from cacapp.algorithms.sam.tiled import grid_of, masks_of, scaled_frame
from cacapp.exceptions import CacappError
from cacapp.types import Instance


def two_nuclei() -> np.ndarray:
    image = np.zeros((300, 420), np.float32)
    cv2.circle(image, (120, 150), 36, 3000.0, -1)
    cv2.circle(image, (300, 140), 30, 5000.0, -1)
    return (cv2.GaussianBlur(image, (0, 0), 2) + 200).astype(np.uint16)


def regions() -> list[Instance]:
    return [Instance((84, 114, 73, 73), np.ones((73, 73), bool)), Instance((270, 110, 61, 61), np.ones((61, 61), bool))]


@pytest.mark.slow
def test_a_checkpoint_of_vit_b_loads_and_answers_each_prompt(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "sam_vit_b.pth"
    torch.save(sam_model_registry["vit_b"]().state_dict(), path)
    sam = load_sam("vit_b", path, "cpu")
    image = two_nuclei()
    frame = scaled_frame(image, 66.0, 72.0)
    prompts = prompts_of(regions(), image)
    found = dict(masks_of(sam, frame, prompts, grid_of(frame, sam, 216)))
    assert sorted(found) == [0, 1]
    for mask in found.values():
        if mask is not None:
            x, y, w, h = mask.instance.bbox_xywh
            assert x >= 0
            assert y >= 0
            assert x + w <= 420
            assert y + h <= 300


def test_weights_of_another_model_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "nuclei_t.pth"
    state = build_nuclei_t().state_dict()
    state.pop("mask_decoder.iou_token.weight")
    torch.save(state, path)
    with pytest.raises(CacappError, match=r"iou_token"):
        load_sam("nuclei_t", path, "cpu")


def test_the_frame_is_scaled_once_in_grey_and_size() -> None:
    frame = scaled_frame(two_nuclei(), 64.0, 32.0)
    assert frame.image.shape == (150, 210)
    assert frame.zoom == pytest.approx(0.5)
    assert frame.image.min() == pytest.approx(0, abs=1)
    assert frame.image.max() == pytest.approx(255)
