"""Masks survive storage bit for bit, and damage is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cacapp.arrays import rle
from cacapp.exceptions import CacappError

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


@given(masks)
def test_a_mask_comes_back_as_it_was(mask: np.ndarray) -> None:
    again = rle.decode(rle.encode(mask), *mask.shape)
    assert again.dtype == bool
    assert np.array_equal(again, mask)


@given(masks)
def test_runs_alternate_background_and_object_in_column_order(mask: np.ndarray) -> None:
    runs = rle.run_lengths(rle.encode(mask))
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    assert np.array_equal(values, mask.ravel(order="F"))


def test_the_run_lengths_follow_the_coco_format() -> None:
    # column-major runs of a 2 x 2 mask with its right column set: 2 background, 2 object; small counts are one character from "0" on
    assert rle.encode(np.array([[False, True], [False, True]])) == b"22"


def test_a_disk_of_a_nucleus_takes_about_two_bytes_a_column() -> None:
    y, x = np.mgrid[-40:41, -40:41]
    assert len(rle.encode(y**2 + x**2 <= 1600)) < 2.2 * 81


@given(st.binary(max_size=60), st.integers(1, 30), st.integers(1, 30))
def test_damaged_codes_are_refused_or_decode_to_the_right_shape(counts: bytes, height: int, width: int) -> None:
    if sum(rle.run_lengths(counts)) == height * width:
        assert rle.decode(counts, height, width).shape == (height, width)
    else:
        with pytest.raises(CacappError, match="damaged"):
            rle.decode(counts, height, width)


def test_a_code_for_another_size_is_refused() -> None:
    with pytest.raises(CacappError, match="damaged"):
        rle.decode(rle.encode(np.ones((3, 4), bool)), 4, 4)


def code(value: int) -> bytes:
    """A number as the format writes it: five bits a character from "0" on, the lowest first; 32 says that more follow."""
    found = bytearray()
    while True:
        bits, value = value & 31, value >> 5
        ends = value == (-1 if bits & 16 else 0)
        found.append(48 + (bits if ends else bits | 32))
        if ends:
            return bytes(found)


def test_runs_that_add_up_only_because_numbers_have_64_bits_are_refused() -> None:
    runs = [2**48] * 2**16 + [100]
    wrapping = b"".join(code(run - runs[i - 2] if i > 2 else run) for i, run in enumerate(runs))
    whole = rle.encode(np.eye(10, dtype=bool))
    assert rle.run_lengths(wrapping) == runs
    assert sum(runs) % 2**64 == 100
    assert rle.damaged([whole, wrapping, whole], np.array([100, 100, 100])).tolist() == [False, True, False]
    with pytest.raises(CacappError, match="damaged"):
        rle.decode(wrapping, 10, 10)
