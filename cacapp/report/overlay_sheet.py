"""A sheet to judge pseudo-labels by eye: crops with accepted and rejected outlines, and the same crops with rejected nuclei filled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.arrays.robust import robust_sd
from cacapp.exceptions import CacappError
from cacapp.report.examples import outlines
from cacapp.report.figures import cell_window
from cacapp.report.palette import Rgb
from cacapp.types import Array, Instance

PANEL_PX = 380
"""Side of a crop in the sheet."""

ACCEPTED: Rgb = (60, 220, 90)
REJECTED: Rgb = (255, 70, 60)
WINDOW = 5.0
"""Side of a window over the typical size of a nucleus."""

DIMMED = 0.75
"""Brightness of the image: outlines stand out from the nuclei."""

BACKGROUND_SD = 4.0
"""The third panel shows so many standard deviations of the noise on either side of the background."""

_GAP, _LINE = 14, 22
_TEXT: Rgb = (25, 25, 25)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_COLUMNS = ("judged: green accepted, red rejected", "filled", "filled, contrast of the background")


@dataclass(frozen=True, slots=True)
class OverlayCrop:
    """A window of a frame.

    Attributes:
        title: a line above it: slide, frame, place.
        note: a line below it: why nuclei are rejected here.
        dapi, filled: (Y, X) uint8 or uint16, before and after rejected regions are filled.
        accepted, rejected: (Y, X) integer labels, 0 where there is none.
    """

    title: str
    note: str
    dapi: Array
    filled: Array
    accepted: Array
    rejected: Array


@dataclass(frozen=True, slots=True)
class JudgedMask:
    """A mask and the reasons against it; accepted where there are none."""

    instance: Instance
    reasons: tuple[str, ...]


class CropPicker:
    """Chooses windows at random, frame by frame, so that only one frame's pixels are in memory.

    Windows are centred on a rejected nucleus (``rejected`` of them) or an accepted one (``accepted``), and do not lie on each other.
    """

    def __init__(self, seed: int, rejected: int = 4, accepted: int = 2) -> None:
        self._rng = np.random.default_rng(seed)
        self._wanted = {False: rejected, True: accepted}
        self._best: dict[bool, list[tuple[float, OverlayCrop]]] = {False: [], True: []}

    def offer(self, name: str, dapi: Array, filled: Array, masks: Sequence[JudgedMask]) -> None:
        """Offer a frame: its (Y, X) planes before and after filling, and its judged masks."""
        if not masks:
            return
        side = int(np.clip(WINDOW * np.median([max(m.instance.bbox_xywh[2:]) for m in masks]), 64, 640))
        taken: list[tuple[int, int]] = []
        for kind, wanted in self._wanted.items():
            best = self._best[kind]
            candidates = [m for m in masks if (not m.reasons) == kind]
            for i in self._rng.permutation(len(candidates))[:wanted].tolist():
                lot = float(self._rng.random())
                window = cell_window(candidates[i].instance.bbox_xywh, side, *dapi.shape)
                near = any(abs(window[0] - x) < side / 2 and abs(window[1] - y) < side / 2 for x, y in taken)
                if near or (len(best) == wanted and lot >= best[-1][0]):
                    continue
                taken.append(window[:2])
                best.append((lot, _cut(name, dapi, filled, masks, window)))
                best.sort(key=lambda pair: pair[0])
                del best[wanted:]

    def crops(self) -> list[OverlayCrop]:
        """Return the chosen crops, windows on rejected nuclei first."""
        return [crop for kind in (False, True) for _, crop in self._best[kind]]


def overlay_png(title: str, crops: Sequence[OverlayCrop]) -> bytes:
    """Draw one row per crop as a PNG, with three panels: judged, filled, and filled with the contrast of the background."""
    width = len(_COLUMNS) * (PANEL_PX + _GAP) + _GAP
    head = np.full((2 * _LINE + _GAP, width, 3), 255, np.uint8)
    _write(head, title, _GAP, _LINE, width - 2 * _GAP)
    for n, column in enumerate(_COLUMNS):
        _write(head, column, _GAP + n * (PANEL_PX + _GAP), 2 * _LINE + 4, PANEL_PX)
    sheet = np.concatenate([head, *(_row(crop, width) for crop in crops)])
    done, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise CacappError(f"a picture of {sheet.shape[1]} x {sheet.shape[0]} px cannot be encoded as PNG")
    return bytes(encoded)


def _cut(name: str, dapi: Array, filled: Array, masks: Sequence[JudgedMask], window: tuple[int, int, int, int]) -> OverlayCrop:
    left, top, width, height = window
    labels = {kind: np.zeros((height, width), np.int32) for kind in (True, False)}
    why: Counter[str] = Counter()
    for number, mask in enumerate(masks, 1):
        x, y, w, h = mask.instance.bbox_xywh
        x0, y0, x1, y1 = max(x, left), max(y, top), min(x + w, left + width), min(y + h, top + height)
        if x0 >= x1 or y0 >= y1:
            continue
        labels[not mask.reasons][y0 - top : y1 - top, x0 - left : x1 - left][mask.instance.mask[y0 - y : y1 - y, x0 - x : x1 - x]] = number
        why.update(mask.reasons)
    here = np.s_[top : top + height, left : left + width]
    note = "; ".join(f"{n} x {reason}" for reason, n in why.most_common())
    title = f"{name}, x {left} y {top}, {width} x {height} px"
    return OverlayCrop(
        title, f"rejected: {note}" if note else "none rejected", dapi[here].copy(), filled[here].copy(), labels[True], labels[False]
    )


def _row(crop: OverlayCrop, width: int) -> Array:
    low, high = (float(v) for v in np.percentile(crop.dapi, (1.0, 99.8)))
    judged = _grey(crop.dapi, low, high, DIMMED)
    for labels, colour in ((crop.rejected, REJECTED), (crop.accepted, ACCEPTED)):
        judged[_lines(labels)] = colour
    filled = _grey(crop.filled, low, high, 1.0)
    lines = _lines(crop.accepted)
    filled[lines] = ACCEPTED
    nuclei = crop.accepted > 0
    empty = crop.filled[~nuclei] if not nuclei.all() else crop.filled.ravel()
    middle = float(np.median(empty))
    sd = max(robust_sd(empty.astype(np.float32), middle), 1.0)
    background = _grey(crop.filled, middle - BACKGROUND_SD * sd, middle + BACKGROUND_SD * sd, 1.0, gamma=1.0)
    row = np.full((PANEL_PX + 2 * _LINE + _GAP, width, 3), 255, np.uint8)
    _write(row, crop.title, _GAP, _LINE - 6, width - 2 * _GAP)
    for n, panel in enumerate((judged, filled, background)):
        left = _GAP + n * (PANEL_PX + _GAP)
        row[_LINE : _LINE + panel.shape[0], left : left + panel.shape[1]] = panel
    _write(row, crop.note, _GAP, _LINE + PANEL_PX + 17, width - 2 * _GAP)
    return row


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (width, height) at which a (Y, X) crop fills a panel."""
    scale = PANEL_PX / max(shape)
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _grey(plane: Array, low: float, high: float, brightness: float, gamma: float = 0.5) -> Array:
    """A crop between two grey values at the panel's size, (Y, X, 3) uint8; ``gamma`` 0.5 brings out faint nuclei beside bright ones."""
    shown = np.clip((plane.astype(np.float32) - low) / max(high - low, 1.0), 0, 1)
    small = cv2.resize(shown, _size(plane.shape), interpolation=cv2.INTER_AREA if max(plane.shape) > PANEL_PX else cv2.INTER_LINEAR)
    levels = (small**gamma * 255 * brightness).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(levels, cv2.COLOR_GRAY2RGB))


def _lines(labels: Array) -> Array:
    """Return the outlines of the labels at the panel's size, (Y, X) bool."""
    return outlines(cv2.resize(labels.astype(np.float64), _size(labels.shape), interpolation=cv2.INTER_NEAREST).astype(np.int64))


def _write(image: Array, text: str, x: int, y: int, width_px: int) -> None:
    """Return text cut to fit ``width_px``; OpenCV's fonts have ASCII only."""
    plain = text.replace("µ", "u").encode("ascii", "replace").decode()
    while plain and cv2.getTextSize(plain, _FONT, 0.5, 1)[0][0] > width_px:
        plain = plain[: max(0, len(plain) - 5)].rstrip() + ".." if len(plain) > 8 else ""
    cv2.putText(image, plain, (x, y), _FONT, 0.5, _TEXT, 1, cv2.LINE_AA)
