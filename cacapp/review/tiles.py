"""A frame in tiles of 256 px for zooming: each level halves the size, level 0 is the whole frame in one tile."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import reduce

import cv2
import numpy as np

from cacapp.exceptions import CacappError, UsageError
from cacapp.report import palette
from cacapp.report.figures import DAPI_IN_COMPOSITE
from cacapp.review.pixels import HEADROOM, Pixels
from cacapp.types import DAPI, Array

TILE_PX = 256
MAX_FRAMES = 3


def max_zoom(height_px: int, width_px: int) -> int:
    """Return the level at which a pixel of a tile is a pixel of the frame."""
    return max(0, int(np.ceil(np.log2(max(height_px, width_px) / TILE_PX))))


class Tiles:
    """Tiles of frames, channels added in the colours of their dyes. Safe to use from many threads."""

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels
        self._levels: OrderedDict[tuple[int, str, int], Array] = OrderedDict()
        self._lock = threading.Lock()

    def tile(self, frame_id: int, size_px: tuple[int, int], zoom: int, column: int, row: int, channels: Sequence[str]) -> bytes:
        """Return a WebP of 256 x 256 px, transparent outside the frame. ``size_px``: the frame's height and width.

        Raises:
            UsageError: the frame does not have this tile or channel, or no channel is given.
        """
        if not channels:
            raise UsageError("channels: name one at least, as in channels=DAPI,red")
        top = max_zoom(*size_px)
        if not 0 <= zoom <= top:
            raise UsageError(f"zoom {zoom}: 0 to {top}")
        step = 2 ** (top - zoom)
        y, x = row * TILE_PX, column * TILE_PX
        if not (0 <= y * step < size_px[0] and 0 <= x * step < size_px[1]):
            raise UsageError(f"there is no tile {column}, {row} at zoom {zoom}")
        screen = self._pixels.screen(frame_id)
        if missing := [c for c in channels if c not in screen.planes]:
            raise UsageError(f"the frame has no channel {missing[0]}")
        parts = []
        for channel in channels:
            plane = screen.planes[channel] if step == 1 else self._level(frame_id, channel, top - zoom)
            part = plane[y : y + TILE_PX, x : x + TILE_PX].astype(np.float32)
            weight = DAPI_IN_COMPOSITE if channel == DAPI and len(channels) > 1 else 1.0
            bright = np.minimum(part * HEADROOM, 255) / 255 * weight
            parts.append(bright[..., None] * np.array(palette.dye(channel)[::-1], np.float32))
        image = _padded(np.clip(reduce(np.add, parts), 0, 255).astype(np.uint8))
        done, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 88])
        if not done:
            raise CacappError("the tile cannot be encoded")
        return bytes(data)

    def _level(self, frame_id: int, channel: str, halvings: int) -> Array:
        """Return a channel, halved this many times. Probe channels keep maxima, so that dots stay visible."""
        key = (frame_id, channel, halvings)
        with self._lock:
            if (known := self._levels.get(key)) is not None:
                self._levels.move_to_end(key)
                return known
        plane = self._pixels.screen(frame_id).planes[channel] if halvings == 1 else self._level(frame_id, channel, halvings - 1)
        made = _halved(plane, channel == DAPI)
        with self._lock:
            self._levels[key] = made
            while len({k[0] for k in self._levels}) > MAX_FRAMES:
                self._levels.popitem(last=False)
        return made


def _padded(image: Array) -> Array:
    """Return a (256, 256, 3) BGR image unchanged, a smaller one at the top left of a transparent (256, 256, 4) BGRA."""
    height, width = image.shape[:2]
    if (height, width) == (TILE_PX, TILE_PX):
        return image
    whole = np.zeros((TILE_PX, TILE_PX, 4), np.uint8)
    whole[:height, :width, :3], whole[:height, :width, 3] = image, 255
    return whole


def _halved(plane: Array, mean: bool) -> Array:
    height, width = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    if mean:
        return np.asarray(cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA))
    pairs = np.maximum(even[::2], even[1::2])
    return np.asarray(np.maximum(pairs[:, ::2], pairs[:, 1::2]))
