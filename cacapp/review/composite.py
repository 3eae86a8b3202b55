"""A cell's picture as the report draws it, from the pixels the server holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from cacapp.arrays import rle
from cacapp.db.cells.states import Place
from cacapp.db.tables import FrameRow
from cacapp.exceptions import UsageError
from cacapp.fish.review import Dot, State, counts_now
from cacapp.report.contrast import ContrastLimits
from cacapp.report.figures import COMPOSITE, SignalMark, cell_crops
from cacapp.report.model import Picture
from cacapp.review.context import Desk, Tray
from cacapp.review.crops import Window
from cacapp.review.pixels import HEADROOM
from cacapp.types import Array


def composite(
    desk: Desk, tray: Tray, place: Place, frame: FrameRow, state: State, dots: Sequence[Dot], channel: str, side_px: int
) -> Picture:
    """The composite, or one channel, with outline and signals. Raises UsageError for a channel the frame has not."""
    window = desk.crops.window(place, frame, desk.crops.side_px(cast(int, tray.index.run.source_run_id)))
    left, top, width, height = window
    screen = desk.pixels.screen(frame.id)
    if channel != COMPOSITE and channel not in screen.planes:
        raise UsageError(f"channel {channel!r}: choose {COMPOSITE}, {', '.join(screen.planes)}")
    planes = {name: plane[top : top + height, left : left + width] for name, plane in screen.planes.items()}
    limits = ContrastLimits(f"slide {tray.slide.barcode}", dict.fromkeys(planes, (0.0, 255.0 / HEADROOM)), "as the report")
    marks = [SignalMark(d.channel, d.y_px - top, d.x_px - left, counted=counts_now(state, d)) for d in dots]
    marks += [SignalMark(a.channel, a.y_px - top, a.x_px - left) for a in state.added if a.number is None]
    mask = _in_window(place, window)
    return cell_crops(planes, mask, marks, limits, side_px=side_px, pixel_size_um=frame.pixel_size_um)[channel]


def _in_window(place: Place, window: Window) -> Array:
    """The nucleus' mask in the window, which holds all of it unless the frame is smaller."""
    x, y, w, h = place.bbox_xywh
    left, top, width, height = window
    whole = np.zeros((height + 2 * h, width + 2 * w), bool)
    whole[y - top + h : y - top + 2 * h, x - left + w : x - left + 2 * w] = rle.decode(place.mask, h, w)
    return whole[h : h + height, w : w + width]
