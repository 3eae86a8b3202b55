"""Square tiles with overlap for large frames; each point belongs to one tile."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.types import Array


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Square tiles over a (height_px, width_px) plane, ``side_px - overlap_px`` apart; tiles may reach out of the plane.

    A point belongs to the tile with the core around it: the tile without half the overlap on each side. Cores cover the plane once.

    Attributes:
        origins_yx: (T, 2) int, top-left pixel of each tile, may be negative.
        shift_yx: where the grid starts, px; any shift covers the plane.
    """

    height_px: int
    width_px: int
    side_px: int
    overlap_px: int
    shift_yx: tuple[int, int] = (0, 0)

    @property
    def step_px(self) -> int:
        return self.side_px - self.overlap_px

    @property
    def counts_yx(self) -> tuple[int, int]:
        """Number of tiles along each axis."""
        rows = -(-(self.height_px + self.shift_yx[0] % self.step_px) // self.step_px)
        columns = -(-(self.width_px + self.shift_yx[1] % self.step_px) // self.step_px)
        return max(1, rows), max(1, columns)

    @property
    def origins_yx(self) -> Array:
        rows, columns = self.counts_yx
        start = np.array([-(self.shift_yx[0] % self.step_px), -(self.shift_yx[1] % self.step_px)]) - self.overlap_px // 2
        index = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(-1, 2)
        return np.asarray(start + index * self.step_px)

    def owners(self, points_xy: Array) -> Array:
        """Return the tile, (N,) int, to which each of (N, 2) points, px, belongs."""
        _, columns = self.counts_yx
        shifted = np.asarray(points_xy, float)[:, ::-1] + [self.shift_yx[0] % self.step_px, self.shift_yx[1] % self.step_px]
        index = np.clip((shifted // self.step_px).astype(int), 0, np.array(self.counts_yx) - 1)
        return np.asarray(index[:, 0] * columns + index[:, 1])

    def cut(self, plane: Array, tile: int, fill: float) -> Array:
        """Cut the (side_px, side_px) pixels of a tile; pixels outside the plane are ``fill``."""
        top, left = (int(v) for v in self.origins_yx[tile])
        y0, x0 = max(top, 0), max(left, 0)
        part = plane[y0 : max(y0, top + self.side_px), x0 : max(x0, left + self.side_px)]
        below, right = self.side_px - (y0 - top) - part.shape[0], self.side_px - (x0 - left) - part.shape[1]
        return np.asarray(cv2.copyMakeBorder(part, y0 - top, below, x0 - left, right, cv2.BORDER_CONSTANT, value=fill))
