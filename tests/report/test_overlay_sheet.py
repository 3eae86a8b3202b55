"""The sheet of pseudo-labels shows accepted nuclei green, rejected ones red, and the fill beside them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cacapp.report.overlay_sheet import ACCEPTED, PANEL_PX, REJECTED, CropPicker, JudgedMask, overlay_png
from cacapp.types import Array, Instance

SHAPE = (600, 700)


def masks() -> list[JudgedMask]:
    """Squares of 20 px, 36 px apart; every second one rejected."""
    square = np.ones((20, 20), bool)
    places = [(x, y) for y in range(30, 560, 36) for x in range(30, 660, 36)]
    return [JudgedMask(Instance((x, y, 20, 20), square), ("not round",) if n % 2 else ()) for n, (x, y) in enumerate(places)]


def planes(dtype: type = np.uint16) -> tuple[Array, Array]:
    before = np.full(SHAPE, 40, dtype)
    after = before.copy()
    for mask in masks():
        x, y, w, h = mask.instance.bbox_xywh
        before[y : y + h, x : x + w] = 200
        if not mask.reasons:
            after[y : y + h, x : x + w] = 200
    return before, after


def picked(seed: int = 0, frames: int = 3, **wanted: int) -> CropPicker:
    picker = CropPicker(seed, **wanted)
    for n in range(frames):
        picker.offer(f"slide S1, frame f{n}", *planes(), masks())
    return picker


def decoded(png: bytes) -> Array:
    return np.asarray(cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def has(image: Array, colour: tuple[int, int, int]) -> bool:
    return bool((image == colour).all(axis=-1).any())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_first_panel_has_both_outlines_the_second_the_accepted_ones(dtype: type) -> None:
    picker = CropPicker(0, rejected=1, accepted=0)
    picker.offer("slide S1, frame f", *planes(dtype), masks())
    sheet = decoded(overlay_png("title", picker.crops()))
    first, second = sheet[:, : PANEL_PX + 14], sheet[:, PANEL_PX + 28 : 2 * PANEL_PX + 28]
    assert has(first, ACCEPTED)
    assert has(first, REJECTED)
    assert has(second, ACCEPTED)
    assert not has(second, REJECTED)


def test_windows_are_chosen_on_rejected_nuclei_first_then_accepted_ones() -> None:
    crops = picked(rejected=3, accepted=2).crops()
    assert len(crops) == 5
    for crop in crops:
        assert crop.note.startswith("rejected: ")
        assert crop.dapi.shape == crop.filled.shape == crop.accepted.shape == crop.rejected.shape
        assert min(crop.dapi.shape) >= 64
        assert ((crop.dapi == 200) == ((crop.accepted > 0) | (crop.rejected > 0))).all()
        assert ((crop.filled == 200) == (crop.accepted > 0)).all()


def test_the_drawn_sample_follows_the_seed() -> None:
    one, same, other = ([c.title for c in picked(seed).crops()] for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_windows_do_not_lie_on_each_other() -> None:
    crops = picked(frames=1, rejected=4, accepted=2).crops()
    places = [tuple(int(v) for v in c.title.replace(",", "").split() if v.isdigit())[:2] for c in crops]
    assert len(set(places)) == len(places)


def test_the_note_counts_the_reasons_in_the_window() -> None:
    picker = CropPicker(0, rejected=1, accepted=0)
    picker.offer("f", *planes(), masks())
    (crop,) = picker.crops()
    shown = len(np.unique(crop.rejected)) - 1
    assert crop.note == f"rejected: {shown} x not round"


def test_a_data_set_without_masks_has_a_sheet_without_crops() -> None:
    picker = CropPicker(0)
    picker.offer("f", *planes(), [])
    assert picker.crops() == []
    assert decoded(overlay_png("nothing here", [])).shape[1] > 3 * PANEL_PX


def test_a_long_title_is_cut_to_the_sheet() -> None:
    assert decoded(overlay_png("x" * 5000, [])).shape == decoded(overlay_png("x", [])).shape


def test_a_frame_smaller_than_a_window_is_shown_whole() -> None:
    picker = CropPicker(0)
    picker.offer(
        "f", np.zeros((30, 20), np.uint8), np.zeros((30, 20), np.uint8), [JudgedMask(Instance((2, 2, 9, 9), np.ones((9, 9), bool)), ())]
    )
    (crop,) = picker.crops()
    assert crop.dapi.shape == (30, 20)
    assert crop.note == "none rejected"
    overlay_png("small", picker.crops())
