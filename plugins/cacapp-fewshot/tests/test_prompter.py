"""A few boxes on one frame are enough to find like nuclei on another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from cacapp_fewshot.prompter import FewShot
from drawings import Drawn

from cacapp.algorithms.sam.segmenter import PromptedSam
from cacapp.arrays.metrics import match
from cacapp.exceptions import UsageError
from cacapp.host import Host
from cacapp.types import Array


def best_ious(true: Array, found: Array) -> Array:
    """(N,) for each true box (left, top, right, bottom) the best IoU of any found one."""
    low = np.maximum(true[:, None, :2], found[None, :, :2])
    high = np.minimum(true[:, None, 2:], found[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(-1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (true, found)]
    return np.asarray((both / (areas[0][:, None] + areas[1][None] - both)).max(axis=1))


def test_three_boxes_localise_the_nuclei_of_a_frame_that_was_not_shown(drawn: Drawn, unseen: Drawn) -> None:
    prompts = FewShot(examples=str(drawn.file)).prompt(unseen.dapi, None)
    assert len(prompts) <= 1.1 * len(unseen.boxes)
    assert np.mean(best_ious(unseen.boxes, prompts.boxes_xyxy) >= 0.5) >= 0.85


def test_the_boxes_prompt_sam(drawn: Drawn, unseen: Drawn) -> None:
    prompts = FewShot(examples=str(drawn.file)).prompt(unseen.dapi, None)
    masks = PromptedSam(use="boxes").segment(unseen.dapi, prompts, None)
    assert match(unseen.labels, masks).average_precision(0.5) > 0.8


def test_one_box_is_enough_for_most(drawn: Drawn, unseen: Drawn, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "seen.tif", drawn.dapi)
    (tmp_path / "one.csv").write_text("".join(drawn.file.read_text().splitlines(keepends=True)[:2]))
    prompts = FewShot(examples=str(tmp_path / "one.csv"), likeness=0.6).prompt(unseen.dapi, None)
    assert np.mean(best_ious(unseen.boxes, prompts.boxes_xyxy) >= 0.4) >= 0.6


def test_what_is_not_like_the_examples_is_left_alone(drawn: Drawn) -> None:
    streaks = np.full((420, 440), 200, np.uint16)
    streaks[::40] = streaks[1::40] = 3000  # thin bright lines
    assert len(FewShot(examples=str(drawn.file)).prompt(streaks, None)) == 0


def test_a_frame_at_half_the_magnification_is_read_with_its_pixel_size(drawn: Drawn, unseen: Drawn, tmp_path: Path) -> None:
    half = unseen.dapi.reshape(210, 2, 220, 2).mean((1, 3)).astype(np.uint16)
    meta = {"axes": "YX", "PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.1, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(tmp_path / "seen.ome.tif", drawn.dapi, metadata=meta)
    (tmp_path / "examples.csv").write_text(drawn.file.read_text().replace("seen.tif", "seen.ome.tif"))
    found = FewShot(examples=str(tmp_path / "examples.csv")).prompt(half, 0.2)
    assert np.mean(best_ious(unseen.boxes / 2, found.boxes_xyxy) >= 0.5) >= 0.8


def test_in_proportion_to_the_frames_nuclei_no_pixel_size_is_needed(drawn: Drawn, unseen: Drawn) -> None:
    half = unseen.dapi.reshape(210, 2, 220, 2).mean((1, 3)).astype(np.uint16)
    found = FewShot(examples=str(drawn.file), scale="frame").prompt(half, None)
    assert np.mean(best_ious(unseen.boxes / 2, found.boxes_xyxy) >= 0.5) >= 0.8


def test_other_boxes_or_another_image_are_another_fingerprint(drawn: Drawn, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "seen.tif", drawn.dapi)
    copy = tmp_path / "examples.csv"
    copy.write_text(drawn.file.read_text())
    first = FewShot(examples=str(drawn.file)).weights_sha256()
    assert FewShot(examples=str(copy)).weights_sha256() == first
    tifffile.imwrite(tmp_path / "seen.tif", drawn.dapi + 1)
    assert FewShot(examples=str(copy)).weights_sha256() != first


def test_without_boxes_it_says_how_to_give_them(drawn: Drawn) -> None:
    with pytest.raises(UsageError, match=r"columns image,left,top,right,bottom \(px\) and give --set few-shot.examples=FILE"):
        FewShot().prompt(drawn.dapi, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,left,top,right\nseen.tif,1,2,3\n", "no column bottom"),
        ("image,left,top,right,bottom\n", "0 boxes; give 1 to 20"),
        ("image,left,top,right,bottom\nseen.tif,1,2,x,9\n", "line 2: left, top, right, bottom must be numbers, px"),
        ("image,left,top,right,bottom\nseen.tif,9,2,3,9\n", r"line 2: box \(9, 2, 3, 9\): left must be less than right"),
        ("image,left,top,right,bottom\nseen.tif,1,2,nan,9\n", "line 2: box"),
        ("image,left,top,right,bottom\ngone.tif,1,2,3,9\n", "gone.tif: no such file"),
        ("image,left,top,right,bottom\nseen.tif,400,2,500,9\n", r"box \(400, 2, 500, 9\) does not lie on the image of 440 x 420 px"),
        ("image,left,top,right,bottom\nbad.tif,1,2,3,9\n", "image of the examples: .*bad.tif"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(text: str, said: str, drawn: Drawn, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "seen.tif", drawn.dapi)
    (tmp_path / "bad.tif").write_bytes(b"no image")
    (tmp_path / "examples.csv").write_text(text)
    with pytest.raises(UsageError, match=said):
        FewShot(examples=str(tmp_path / "examples.csv")).prompt(drawn.dapi, None)


def test_a_file_that_is_not_there_is_told(tmp_path: Path, drawn: Drawn) -> None:
    with pytest.raises(UsageError, match=r"gone.csv: cannot be read \(No such file"):
        FewShot(examples=str(tmp_path / "gone.csv")).prompt(drawn.dapi, None)


def test_cacapp_finds_the_plugin() -> None:
    assert Host.discover().find("prompter", "few-shot").distribution == "cacapp-fewshot"
