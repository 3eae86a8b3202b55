"""A mosaic holds each nucleus' surroundings, pixel for pixel, and knows the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacapp.arrays.mosaic import pack
from cacapp.types import Instance

HEIGHT, WIDTH = 60, 80
PLANE = np.random.default_rng(5).integers(0, 65535, (HEIGHT, WIDTH)).astype(np.uint16)


@st.composite
def nuclei(draw: st.DrawFn) -> list[Instance]:
    found = []
    for _ in range(draw(st.integers(1, 6))):
        w, h = draw(st.integers(1, 25)), draw(st.integers(1, 25))
        x = draw(st.sampled_from([0, WIDTH - w]) | st.integers(0, WIDTH - w))
        y = draw(st.sampled_from([0, HEIGHT - h]) | st.integers(0, HEIGHT - h))
        mask = np.random.default_rng(w * h).random((h, w)) < 0.7
        mask[h // 2, w // 2] = True
        found.append(Instance((x, y, w, h), mask))
    return found


@given(nuclei(), st.integers(0, 15), st.sampled_from([1, 64, 2048]))
def test_every_crop_is_the_frames_pixels_and_repeats_the_rim_beyond_it(found: list[Instance], margin: int, width: int) -> None:
    mosaic = pack(PLANE, found, margin, width)
    assert mosaic.canvas.dtype == np.float32
    for n, (nucleus, window) in enumerate(zip(found, mosaic.windows, strict=True)):
        x, y, w, h = nucleus.bbox_xywh
        rows, cols = np.arange(y - margin, y + h + margin), np.arange(x - margin, x + w + margin)
        truth = PLANE[np.clip(rows, 0, HEIGHT - 1)][:, np.clip(cols, 0, WIDTH - 1)]
        assert np.array_equal(mosaic.canvas[window], truth)
        assert (mosaic.owner[window] == n + 1).all()
        back = np.argwhere(mosaic.inside & (mosaic.owner == n + 1)) + mosaic.shift_yx[n]
        assert np.array_equal(back, np.argwhere(nucleus.mask) + np.array([y, x]))


@given(nuclei(), st.integers(0, 15), st.sampled_from([1, 64, 2048]))
def test_crops_do_not_overlap_and_nothing_else_has_an_owner(found: list[Instance], margin: int, width: int) -> None:
    mosaic = pack(PLANE, found, margin, width)
    sizes = [(i.bbox_xywh[2] + 2 * margin) * (i.bbox_xywh[3] + 2 * margin) for i in found]
    assert (mosaic.owner > 0).sum() == sum(sizes)
    assert mosaic.inside.sum() == sum(i.mask.sum() for i in found)


def test_no_nuclei_make_an_empty_canvas() -> None:
    mosaic = pack(PLANE, [], 5)
    assert mosaic.canvas.size == 0
    assert mosaic.windows == ()
    assert mosaic.shift_yx.shape == (0, 2)


def test_the_canvas_is_not_much_larger_than_its_crops() -> None:
    rng = np.random.default_rng(6)
    found = [Instance((0, 0, int(w), int(h)), np.ones((h, w), bool)) for w, h in rng.integers(30, 60, (300, 2))]
    mosaic = pack(PLANE, found, 8)
    assert (mosaic.owner > 0).mean() > 0.7


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_numeric_plane_can_be_packed(dtype: type) -> None:
    plane = (PLANE // 300).astype(dtype)
    assert pack(plane, [Instance((3, 4, 5, 6), np.ones((6, 5), bool))], 2).canvas[2, 2] == plane[4, 3]


@given(nuclei(), st.integers(0, 15), st.sampled_from([1, 64, 2048]))
def test_rows_of_the_mosaic_contain_every_crop_whole_and_once(found: list[Instance], margin: int, width: int) -> None:
    mosaic = pack(PLANE, found, margin, width)
    assert sorted(int(n) for here in mosaic.on_shelf for n in here) == list(range(len(found)))
    assert [s.start for s in mosaic.shelves] == [0, *(s.stop for s in mosaic.shelves[:-1])]
    assert mosaic.shelves[-1].stop == mosaic.canvas.shape[0]
    for shelf, here in zip(mosaic.shelves, mosaic.on_shelf, strict=True):
        assert all(shelf.start <= mosaic.windows[n][0].start <= mosaic.windows[n][0].stop <= shelf.stop for n in here)


@given(nuclei(), st.integers(0, 15))
def test_another_plane_gives_the_same_crops_of_it(found: list[Instance], margin: int) -> None:
    other = PLANE[::-1, ::-1]
    assert np.array_equal(pack(PLANE, found, margin).of(other).canvas, pack(other, found, margin).canvas)
