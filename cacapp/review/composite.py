"""A cell's picture as the report draws it, from the frames in the server's memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from cacapp.arrays import rle
from cacapp.db.cells.places import Place
from cacapp.db.tables import FrameRow
from cacapp.exceptions import UsageError
from cacapp.fish.review import Dot
from cacapp.report.contrast import ContrastLimits
from cacapp.report.figures import COMPOSITE, SignalMark, cell_crops
from cacapp.report.pictured import Picture
from cacapp.review.context import ReviewContext, SlideView
from cacapp.review.crops import Window
from cacapp.review.pixels import HEADROOM
from cacapp.review.shown_cell import ShownCell, shown_signals
from cacapp.types import Array


def composite(
    context: ReviewContext, view: SlideView, cell: ShownCell, frame: FrameRow, dots: Sequence[Dot], channel: str, side_px: int
) -> Picture:
    """Draw the composite or one channel, with outline and signals. Raises UsageError for a channel that the frame does not have."""
    window = context.crops.window(cell.place, frame, context.crops.side_px(cast(int, view.index.run.source_run_id)))
    left, top, width, height = window
    screen = context.pixels.screen(frame.id)
    if channel != COMPOSITE and channel not in screen.planes:
        raise UsageError(f"channel {channel!r}: choose {COMPOSITE}, {', '.join(screen.planes)}")
    planes = {name: plane[top : top + height, left : left + width] for name, plane in screen.planes.items()}
    limits = ContrastLimits(f"slide {view.slide.barcode}", dict.fromkeys(planes, (0.0, 255.0 / HEADROOM)), "as the report")
    marks = [SignalMark(s.channel, s.y_px - top, s.x_px - left, counted=s.counts) for s in shown_signals(dots, cell.state)]
    mask = _mask_in_window(cell.place, window)
    return cell_crops(planes, mask, marks, limits, side_px=side_px, pixel_size_um=frame.pixel_size_um)[channel]


def _mask_in_window(place: Place, window: Window) -> Array:
    """Return the nucleus' (height, width) bool mask in the window, cut where the frame is smaller than the window."""
    x, y, w, h = place.bbox_xywh
    left, top, width, height = window
    padded = np.zeros((height + 2 * h, width + 2 * w), bool)
    padded[y - top + h : y - top + 2 * h, x - left + w : x - left + 2 * w] = rle.decode(place.mask, h, w)
    return padded[h : h + height, w : w + width]
