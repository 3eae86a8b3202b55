"""The values: what they refuse, and label images."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacapp.types import CHANNELS, ChannelSource, Frame, FrameSource, Instance, Prompts, Shapes, Signals, label_image

SOURCE = FrameSource(
    "f1", "f1.tif", "ab", "", "none", 30, 40, "uint16", 0.1, tuple(ChannelSource(c, c, "f1.tif", i, "ab") for i, c in enumerate(CHANNELS))
)


def test_a_frame_reads_only_the_channel_it_is_asked_for() -> None:
    read: list[int] = []
    frame = Frame(SOURCE, lambda index: read.append(index) or np.full((30, 40), index, np.uint16))
    assert read == []
    assert frame.channel("gold")[0, 0] == 3
    assert read == [3]
    assert (frame.height_px, frame.width_px, frame.pixel_size_um, frame.sha256) == (30, 40, 0.1, "ab")


def test_a_missing_channel_is_reported_with_the_ones_there_are() -> None:
    frame = Frame(SOURCE, lambda index: np.zeros((30, 40), np.uint16))
    with pytest.raises(KeyError, match="frame f1 has no channel 'blue'; it has DAPI, aqua, green, gold, red"):
        frame.channel("blue")


def test_values_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Instance((0, 0, 1, 1), np.ones((1, 1), bool)).score = 0.5  # type: ignore[misc]


def test_empty_prompts_and_signals_have_the_promised_shapes() -> None:
    prompts, signals = Prompts.empty(), Signals.empty()
    assert (len(prompts), prompts.points_xy.shape[2], prompts.points_xy.dtype, prompts.point_labels.dtype) == (0, 2, np.float32, np.int8)
    assert (len(signals), signals.yx.shape) == (0, (0, 2))
    assert {v.dtype for v in (signals.yx, signals.snr, signals.amplitude, signals.sigma_px)} == {np.dtype(np.float32)}


def test_signals_are_taken_by_index_and_by_mask() -> None:
    signals = Signals(np.float32([[0, 1], [2, 3], [4, 5]]), *(np.float32([1, 2, 3]) * k for k in (1, 10, 100)))
    taken = signals.take(np.array([2, 0]))
    assert taken.yx.tolist() == [[4, 5], [0, 1]]
    assert (taken.snr.tolist(), taken.amplitude.tolist(), taken.sigma_px.tolist()) == ([3, 1], [30, 10], [300, 100])
    assert signals.take(np.array([False, True, False])).snr.tolist() == [2]


def test_sizes_in_um_follow_the_pixel_size_and_are_unknown_without_it() -> None:
    values = [np.array([v]) for v in (100.0, 20.0, 10.0, 0.9, 0.9)]
    known = Shapes(*values, np.array([False]), 0.5)
    assert (known.area_um2, known.length_um, known.width_um) == (25.0, 10.0, 5.0)
    unknown = Shapes(*values, np.array([False]))
    assert (unknown.area_um2, unknown.length_um, unknown.width_um) == (None, None, None)


def block(x: int, y: int, w: int, h: int) -> Instance:
    return Instance((x, y, w, h), np.ones((h, w), bool))


def test_a_label_image_numbers_instances_in_their_order() -> None:
    image = label_image([block(0, 0, 2, 2), block(3, 1, 1, 2)], 4, 5)
    assert image.dtype == np.int32
    assert image.tolist() == [[1, 1, 0, 0, 0], [1, 1, 0, 2, 0], [0, 0, 0, 2, 0], [0, 0, 0, 0, 0]]
    assert set(np.unique(label_image([block(0, 0, 2, 2), block(3, 1, 1, 2)], 4, 5, [7, 9]))) == {0, 7, 9}
    assert not label_image([], 4, 5).any()


@given(st.permutations([block(0, 0, 6, 6), block(2, 2, 3, 3), block(3, 3, 1, 1)]))
def test_where_instances_overlap_the_smaller_one_is_on_top(instances: list[Instance]) -> None:
    image = label_image(instances, 8, 8)
    for label, instance in enumerate(instances, 1):
        assert (image == label).sum() == {36: 27, 9: 8, 1: 1}[int(instance.mask.sum())]


def test_labels_are_one_an_instance() -> None:
    with pytest.raises(ValueError, match="zip"):
        label_image([block(0, 0, 2, 2)], 4, 5, [1, 2])
