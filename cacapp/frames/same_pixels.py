"""Digest by which equal pixels are found again, in whatever file, compression, byte order or number of bits."""

from __future__ import annotations

import hashlib

import numpy as np

from cacapp.types import Array

SAMPLED_PX = 1_000_000
"""Pixels of a plane that are compared, about: every second or fourth of rows and columns is as unlike another photograph as all are."""


def pixels_sha256(plane: Array) -> str | None:
    """Return the hex SHA-256 of a plane's shape and of the rank of each pixel's value; None for a plane of one value.

    Of a large plane, every n-th row and column is taken. A plane that is shifted, multiplied or stored with more bits has the same ranks,
    and so the same digest. Noise makes two photographs of one field differ.

    Args:
        plane: (Y, X) uint8 or uint16.
    """
    step = max(1, round((plane.size / SAMPLED_PX) ** 0.5))
    pixels = np.ascontiguousarray(plane[::step, ::step])
    there = np.bincount(pixels.ravel(), minlength=np.iinfo(plane.dtype).max + 1) > 0
    if int(there.sum()) < 2:
        return None
    rank = (np.cumsum(there) - 1).astype("<u2")
    whole = hashlib.sha256(f"{plane.shape[0]} x {plane.shape[1]}".encode())
    whole.update(rank[pixels].data)
    return whole.hexdigest()


def plane_sha256(plane: Array) -> str:
    """Return the hex SHA-256 of a (Y, X) plane: dtype, shape and every value."""
    whole = hashlib.sha256(f"{plane.dtype.name} {plane.shape[0]} x {plane.shape[1]}".encode())
    whole.update(np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).data)
    return whole.hexdigest()
