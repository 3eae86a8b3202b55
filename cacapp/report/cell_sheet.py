"""Draw a sheet of cells: one row per cell, its text beside its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from cacapp.exceptions import CacappError
from cacapp.report.pictured import Picture
from cacapp.types import Array

TEXT_PX = 330
GAP_PX = 6
LINE_PX = 20
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def cell_sheet_png(title: str, rows: Sequence[tuple[Sequence[str], Mapping[str, Picture]]]) -> bytes:
    """Return a PNG with ``title`` on top; each row shows its lines of text, then its pictures with their names below.

    Args:
        rows: (lines, name -> picture); a row without pictures shows its words only.
    """
    drawn = [_row(lines, pictures) for lines, pictures in rows]
    width = max((r.shape[1] for r in drawn), default=TEXT_PX)
    head = np.full((LINE_PX + 2 * GAP_PX, width, 3), 255, np.uint8)
    _write(head, title, GAP_PX, LINE_PX)
    sheet = np.concatenate([head, *(_padded(r, width) for r in drawn)])
    done, encoded = cv2.imencode(".png", sheet)
    if not done:
        raise CacappError(f"a sheet of {sheet.shape[1]} x {sheet.shape[0]} px cannot be encoded as PNG")
    return bytes(encoded)


def _row(lines: Sequence[str], pictures: Mapping[str, Picture]) -> Array:
    images = {name: np.asarray(cv2.imdecode(np.frombuffer(p.data, np.uint8), cv2.IMREAD_COLOR)) for name, p in pictures.items()}
    height = max([LINE_PX * len(lines), *(i.shape[0] + LINE_PX for i in images.values())]) + GAP_PX
    width = TEXT_PX + sum(i.shape[1] + GAP_PX for i in images.values())
    row = np.full((height, width, 3), 255, np.uint8)
    for n, line in enumerate(lines):
        _write(row, line, GAP_PX, (n + 1) * LINE_PX - 4)
    left = TEXT_PX
    for name, image in images.items():
        row[: image.shape[0], left : left + image.shape[1]] = image
        _write(row, name, left, image.shape[0] + LINE_PX - 5)
        left += image.shape[1] + GAP_PX
    return row


def _padded(row: Array, width: int) -> Array:
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)


def _write(image: Array, text: str, x: int, y: int) -> None:
    """Replace characters that OpenCV's fonts do not have: all but ASCII."""
    cv2.putText(image, text.encode("ascii", "replace").decode(), (x, y), _FONT, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
