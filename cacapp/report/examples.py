"""Draw images with their true and predicted nuclei side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.arrays.metrics import Match
from cacapp.exceptions import CacappError
from cacapp.report import palette
from cacapp.types import Array

PANEL_PX = 640
"""Longer side of an image in the picture."""

FOUND, WRONG = palette.CLASSES["normal"], palette.CLASSES["cac"]
DIMMED = 0.7
"""Brightness of the image: outlines stand out from the nuclei."""

_GAP, _HEAD, _LEGEND = 12, 30, 30
_TEXT: palette.Rgb = (30, 30, 30)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True)
class Example:
    """An image to show.

    Attributes:
        title: a line above it.
        dapi: (Y, X) uint8 or uint16.
        truth, predicted: (Y, X) integer labels.
        match: of these labels.
    """

    title: str
    dapi: Array
    truth: Array
    predicted: Array
    match: Match


def examples_png(examples: Sequence[Example], threshold: float = 0.5) -> bytes:
    """Draw one row per example as a PNG: true outlines on the left, predicted ones on the right.

    Outlines of nuclei whose partner has at least the IoU ``threshold`` are blue, those of missed (left) and false (right) ones orange.
    """
    rows = []
    for example in examples:
        true, predicted = example.match.found(threshold)
        pair = [
            _panel(example.dapi, example.truth, example.match.true_ids, true),
            _panel(example.dapi, example.predicted, example.match.predicted_ids, predicted),
        ]
        counts = f"{true.sum()} of {len(true)} true nuclei found", f"{predicted.sum()} of {len(predicted)} predicted are right"
        rows.append(_row(example.title, pair, counts))
    width = max(row.shape[1] for row in rows)
    legend = np.full((_LEGEND, width, 3), 255, np.uint8)
    _write(legend, f"left: truth, right: prediction; blue: matched at IoU {threshold:g}, orange: missed or false", _GAP, 20)
    sheet = np.concatenate([legend, *(np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in rows)])
    done, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise CacappError(f"a picture of {sheet.shape[1]} x {sheet.shape[0]} px cannot be encoded as PNG")
    return bytes(encoded)


def outlines(labels: Array) -> Array:
    """Return the outline pixels of nuclei, (Y, X) bool: those with another label or background above, below, left or right."""
    border = np.zeros(labels.shape, bool)
    for one, two in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        change = labels[one] != labels[two]
        border[one] |= change
        border[two] |= change
    border &= labels != 0
    return border


def _panel(dapi: Array, labels: Array, ids: Array, good: Array) -> Array:
    """Draw the image in grey, scaled to PANEL_PX, with its outlines in two colours; (Y, X, 3) uint8 RGB."""
    height, width = dapi.shape
    scale = PANEL_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    low, high = np.percentile(dapi, (1.0, 99.8))
    grey = np.clip((dapi.astype(np.float32) - low) / max(high - low, 1.0), 0, 1) * 255
    # a square root brings out faint nuclei beside bright ones
    grey = np.sqrt(cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR) / 255) * 255
    image: Array = cv2.cvtColor((grey * DIMMED).clip(0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    number = np.searchsorted(ids, labels) + 1 if len(ids) else np.zeros(labels.shape, np.int64)
    numbered = np.where(labels > 0, number, 0).astype(np.float64)
    large = cv2.resize(numbered, size, interpolation=cv2.INTER_NEAREST).astype(np.int64)
    lines = outlines(large)
    colours = np.array([(0, 0, 0), *(FOUND if g else WRONG for g in good)], np.uint8)
    image[lines] = colours[large[lines]]
    return image


def _row(title: str, pair: Sequence[Array], counts: Sequence[str]) -> Array:
    panels = []
    for panel, line, head in zip(pair, counts, (title, ""), strict=True):
        width = max(panel.shape[1], 300)
        tile = np.full((panel.shape[0] + 2 * _HEAD, width + 2 * _GAP, 3), 255, np.uint8)
        tile[_HEAD : _HEAD + panel.shape[0], _GAP : _GAP + panel.shape[1]] = panel
        _write(tile, head, _GAP, 21)
        _write(tile, line, _GAP, _HEAD + panel.shape[0] + 17)
        panels.append(tile)
    return np.concatenate(panels, axis=1)


def _write(image: Array, text: str, x: int, y: int) -> None:
    """Draw text scaled to fit the image's width; OpenCV's fonts have ASCII only."""
    plain = text.encode("ascii", "replace").decode()
    (width, _), _ = cv2.getTextSize(plain, _FONT, 0.5, 1)
    scale = 0.5 * min(1.0, (image.shape[1] - x - 4) / max(width, 1))
    cv2.putText(image, plain, (x, y), _FONT, scale, _TEXT, 1, cv2.LINE_AA)
