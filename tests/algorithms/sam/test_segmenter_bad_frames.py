"""Unusual frames and damaged weights: segmenter ``sam`` gives an empty or a right result, or one clear error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cacapp.algorithms.sam.models import NUCLEUS_PX, load_sam
from cacapp.algorithms.sam.nuclei_t import build_nuclei_t
from cacapp.algorithms.sam.segmenter import PromptedSam, typical_diameter_px
from cacapp.algorithms.sam.tiled import masks_of, scaled_frame
from cacapp.algorithms.watershed import Watershed
from cacapp.arrays.tiles import TileGrid
from cacapp.exceptions import CacappError
from cacapp.simulation import SlideModel, simulate_frame
from cacapp.types import Array, Instance, label_image
from cacapp.weights.cache import locate

RADIUS = 18


def frame_of(centres_yx: Sequence[tuple[float, float]], shape: tuple[int, int] = (300, 320), radius: float = RADIUS) -> tuple[Array, Array]:
    """A blurred, noisy (Y, X) uint16 plane of disks, and the (Y, X) int32 labels of the disks."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for n, (y, x) in enumerate(centres_yx, 1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = n
    light = cv2.GaussianBlur(np.where(labels > 0, 2500.0, 300.0), (0, 0), 1.0)
    return np.random.default_rng(0).poisson(light).astype(np.uint16), labels


def segmented(dapi: Array) -> list[Instance]:
    found = PromptedSam(device="cpu").segment(dapi, Watershed().prompt(dapi, None), None)
    for one in found:
        x, y, w, h = one.bbox_xywh
        assert one.mask.shape == (h, w)
        assert one.mask.any()
        assert min(x, y) >= 0
        assert x + w <= dapi.shape[1]
        assert y + h <= dapi.shape[0]
    return found


def ious(labels: Array, found: Sequence[Instance]) -> list[float]:
    """For each true nucleus the best IoU of any instance."""
    painted = [label_image([one], *labels.shape) > 0 for one in found]
    truths = [labels == n for n in range(1, int(labels.max()) + 1)]
    return [max((float((p & t).sum() / (p | t).sum()) for p in painted), default=0.0) for t in truths]


EMPTY: dict[str, Callable[[], Array]] = {
    "black": lambda: np.zeros((300, 320), np.uint16),
    "white": lambda: np.full((300, 320), 65535, np.uint16),
    "noise": lambda: np.random.default_rng(1).poisson(300, (300, 320)).astype(np.uint16),
    "slope": lambda: np.tile(np.linspace(100, 4000, 320), (300, 1)).astype(np.uint16),
    "one pixel": lambda: np.full((1, 1), 9, np.uint8),
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_frame_without_nuclei_has_none(name: str) -> None:
    assert segmented(EMPTY[name]()) == []


def test_one_nucleus_is_one() -> None:
    dapi, labels = frame_of([(150, 160)])
    found = segmented(dapi)
    assert len(found) == 1
    assert ious(labels, found)[0] > 0.85


def test_nuclei_at_every_edge_and_corner_are_found_and_stay_in_the_frame() -> None:
    dapi, labels = frame_of([(0, 0), (0, 160), (0, 319), (150, 0), (150, 319), (299, 0), (299, 160), (299, 319), (150, 160)])
    found = segmented(dapi)
    assert len(found) == 9
    assert min(ious(labels, found)) > 0.6


def test_a_sheet_without_any_borders_is_never_single_cells_by_the_hundred() -> None:
    dapi = np.random.default_rng(0).poisson(2500, (300, 320)).astype(np.uint16)
    dapi[:20] = np.random.default_rng(0).poisson(300, (20, 320))
    assert len(segmented(dapi)) <= 2


@pytest.mark.parametrize("shape", [(60, 70), (44, 320), (300, 44)])
def test_a_frame_smaller_than_a_tile_is_segmented(shape: tuple[int, int]) -> None:
    dapi, labels = frame_of([(shape[0] // 2, shape[1] // 2)], shape)
    assert ious(labels, segmented(dapi))[0] > 0.8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_same_frame_gives_the_same_masks_bit_for_bit(dtype: type) -> None:
    frame = simulate_frame(SlideModel(), np.random.default_rng(5), 420, 460, 12)
    dapi = frame.planes[0] if dtype is np.uint16 else np.clip(frame.planes[0] // 40, 0, 255).astype(np.uint8)
    one, two = segmented(dapi), segmented(dapi)
    assert len(one) > 5
    assert [(i.bbox_xywh, i.score, i.mask.tobytes()) for i in one] == [(i.bbox_xywh, i.score, i.mask.tobytes()) for i in two]


@pytest.mark.slow
def test_other_tiles_change_counts_by_less_than_half_a_percent() -> None:
    step = 2.6 * RADIUS
    dapi, labels = frame_of([(y, x) for y in np.arange(30, 880, step) for x in np.arange(30, 880, step)], (900, 900))
    prompts = Watershed().prompt(dapi, None)
    counts = [len(PromptedSam(device="cpu", overlap=overlap).segment(dapi, prompts, None)) for overlap in (2, 3, 5)]
    assert max(counts) - min(counts) <= 0.005 * labels.max()
    sam = load_sam("nuclei_t", locate("nuclei_t"), "cpu")
    frame = scaled_frame(dapi, typical_diameter_px(dapi, prompts), NUCLEUS_PX["nuclei_t"])
    usable = []
    for shift in ((0, 0), (80, 33), (11, 140)):
        grid = TileGrid(*frame.image.shape, sam.side_px, 96, shift)
        usable.append(sum(mask is not None and mask.instance.score >= 0.5 for _, mask in masks_of(sam, frame, prompts, grid)))
    assert max(usable) - min(usable) <= 0.005 * labels.max()


PEAK = """
import resource, sys
import numpy as np
from cacapp.algorithms.prompting import prompts_of
from cacapp.algorithms.sam.segmenter import PromptedSam
from cacapp.types import Instance

n = int(sys.argv[1])
rng = np.random.default_rng(0)
side = 400
dapi = rng.poisson(300, (side, side)).astype(np.uint16)
places = rng.integers(0, side - 12, (n, 2))
for x, y in places[:400]:
    dapi[y : y + 12, x : x + 12] += 2000
regions = [Instance((int(x), int(y), 12, 12), np.ones((12, 12), bool)) for x, y in places]
found = PromptedSam(device="cpu", batch=16).segment(dapi, prompts_of(regions, dapi), None)
print(len(found), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak(prompts: int) -> tuple[int, int]:
    """Instances, and the peak memory of a process of its own, MB."""
    ended = subprocess.run([sys.executable, "-c", PEAK, str(prompts)], check=True, capture_output=True, text=True)
    found, megabytes = ended.stdout.split()
    return int(found), int(megabytes)


@pytest.mark.slow
def test_memory_hardly_grows_with_the_number_of_prompts() -> None:
    few, base = peak(400)
    many, crowded = peak(1600)
    assert 0 < few <= 400
    assert 0 < many <= 1600
    assert crowded - base < 60  # at this rate 20,000 prompts take less than 1 GB more


def weights(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    state = build_nuclei_t().state_dict()
    change(state)
    torch.save(state, path)
    return path


def spoil_shape(state: dict[str, torch.Tensor]) -> None:
    state["mask_decoder.iou_token.weight"] = torch.zeros(1, 7)


def spoil_number(state: dict[str, torch.Tensor]) -> None:
    state["mask_decoder.iou_token.weight"][0, 0] = float("nan")


def test_weights_of_another_shape_or_with_broken_numbers_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CacappError, match=r"do not fit Sam; wrong shape: mask_decoder\.iou_token\.weight \(1, 7\) instead of"):
        load_sam("nuclei_t", weights(tmp_path / "shape.pth", spoil_shape), "cpu")
    with pytest.raises(CacappError, match=r"not finite in: mask_decoder\.iou_token\.weight"):
        load_sam("nuclei_t", weights(tmp_path / "nan.pth", spoil_number), "cpu")


@pytest.mark.parametrize("keep", [0, 7, 1000, 400_000])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_that_were_cut_off_are_refused_in_one_line(tmp_path: Path, suffix: str, keep: int) -> None:
    whole = locate("nuclei_t") if suffix == "safetensors" else weights(tmp_path / "whole.pth", lambda state: None)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[:keep])
    with pytest.raises(CacappError, match=str(cut)) as refused:
        load_sam("nuclei_t", cut, "cpu")
    assert "\n" not in str(refused.value)


def test_a_confluent_sheet_is_nuclei_not_one_mask() -> None:
    step = 1.9 * RADIUS  # neighbours overlap
    dapi, labels = frame_of([(y, x) for y in np.arange(20, 290, step) for x in np.arange(20, 310, step)])
    found = segmented(dapi)
    assert abs(len(found) - labels.max()) <= 0.1 * labels.max()
    assert np.mean([iou > 0.5 for iou in ious(labels, found)]) > 0.9
