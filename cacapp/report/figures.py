"""Pictures for the report: arrays in, encoded images out. No file, no database.

Positions follow cacapp.types: (0, 0) is the centre of the top-left pixel, also after scaling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.exceptions import CacappError
from cacapp.report import palette
from cacapp.report.contrast import ContrastLimits
from cacapp.report.pictured import Picture
from cacapp.types import DAPI, Array, Instance

COMPOSITE = "composite"
DAPI_IN_COMPOSITE = 0.55
"""Brightness of DAPI in the composite: dots stay visible on it."""

_SHIFT = 4  # OpenCV draws at 1/16 px with it
_WHITE: palette.Rgb = (238, 238, 238)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.55


@dataclass(frozen=True, slots=True)
class SignalMark:
    """A signal to mark: its channel, position in the crop and width (standard deviation) in px, and whether it counts."""

    channel: str
    y_px: float
    x_px: float
    sigma_px: float = 1.5
    counted: bool = True


def window_side_px(boxes_xywh: Sequence[tuple[int, int, int, int]], margin_px: int = 6) -> int:
    """Return the side of the square crop that fits the largest box with a margin: one magnification for all cells."""
    return max((max(w, h) for _, _, w, h in boxes_xywh), default=0) + 2 * margin_px


def cell_window(bbox_xywh: tuple[int, int, int, int], side_px: int, height_px: int, width_px: int) -> tuple[int, int, int, int]:
    """Return the square window (left, top, width, height) of ``side_px`` around a cell, moved or cut to lie inside the frame."""
    x, y, w, h = bbox_xywh
    out_w, out_h = min(side_px, width_px), min(side_px, height_px)
    left = int(np.clip(x + w // 2 - out_w // 2, 0, width_px - out_w))
    top = int(np.clip(y + h // 2 - out_h // 2, 0, height_px - out_h))
    return left, top, out_w, out_h


def cell_crops(
    planes: Mapping[str, Array],
    mask: Array,
    signals: Sequence[SignalMark],
    limits: ContrastLimits,
    *,
    side_px: int = 160,
    pixel_size_um: float | None = None,
    encoding: str = "webp",
) -> dict[str, Picture]:
    """Draw one cell: the additive composite, then each channel in its dye's colour, outline and signals drawn.

    Args:
        planes: channel -> (Y, X) uint8 or uint16 crop, all of one shape, in the order they are shown.
        mask: (Y, X) bool, the nucleus in the crop.
        signals: in crop coordinates. A counted signal gets an open circle around it, one that does not count a cross with an
            open centre; the composite shows all of them in their dyes' colours, a channel its own in white.
        limits: grey-value limits of every channel.
        side_px: longer side of the pictures.
        pixel_size_um: of the crop, for the composite's 5 µm scale bar; None leaves it out.
        encoding: "webp" or "jpeg" (quality 92), or "png".

    Returns:
        "composite" and the channels -> Picture.
    """
    shapes = {plane.shape for plane in planes.values()} | {mask.shape}
    if len(shapes) != 1:
        raise CacappError(f"crops and mask of a cell differ in shape: {sorted(shapes)}")
    height, width = mask.shape
    scale = side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    coloured = {}
    for channel, plane in planes.items():
        large = cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
        coloured[channel] = limits.stretch(large, channel)[..., None] * np.array(palette.dye(channel), np.float32)
    outline = _outline(mask, size)
    weights = {channel: DAPI_IN_COMPOSITE if channel == DAPI else 1.0 for channel in planes}
    composite = _finish(np.sum([coloured[c] * weights[c] for c in planes], axis=0), outline)
    for signal in signals:
        _mark(composite, signal, scale, _lighter(palette.dye(signal.channel)))
    if pixel_size_um:
        _scale_bar(composite, 5.0, scale / pixel_size_um)
    pictures = {COMPOSITE: _encode(composite, encoding)}
    for channel in planes:
        image = _finish(coloured[channel], outline)
        for signal in signals:
            if signal.channel == channel:
                _mark(image, signal, scale, _WHITE)
        pictures[channel] = _encode(image, encoding)
    return pictures


def frame_overview(
    dapi: Array,
    instances: Sequence[Instance],
    classes: Sequence[str | None],
    limits: ContrastLimits,
    *,
    labels: Sequence[int] | None = None,
    emphasised: str = "cac",
    width_px: int = 1000,
    pixel_size_um: float | None = None,
    encoding: str = "jpeg",
) -> Picture:
    """Draw a frame's DAPI in grey, scaled down, with every nucleus outlined in its class's colour and the CACs labelled.

    Args:
        dapi: (Y, X) uint8 or uint16.
        instances: N nuclei of the frame.
        classes: N class names; None for a nucleus that is not evaluable.
        limits: grey-value limits, for DAPI at least.
        labels: N cell labels, 1..N by default.
        emphasised: the class drawn last, thicker and labelled.
        width_px: of the picture; a smaller frame is not enlarged.
        pixel_size_um: of the frame, for the 50 µm scale bar; None leaves it out.
        encoding: "jpeg" (quality 82; quicker to encode than WebP at this size), "webp" or "png".
    """
    height, width = dapi.shape
    scale = min(1.0, width_px / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    grey = limits.stretch(cv2.resize(dapi, size, interpolation=cv2.INTER_AREA), DAPI)
    image = cv2.cvtColor((grey * 200).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    numbers = range(1, len(instances) + 1) if labels is None else labels
    nuclei = sorted(zip(instances, classes, numbers, strict=True), key=lambda n: (n[1] == emphasised, n[1] is not None))
    for instance, name, _ in nuclei:
        thickness = 3 if name == emphasised else 1
        cv2.polylines(image, _contours(instance, scale), True, palette.of_class(name), thickness, cv2.LINE_AA, _SHIFT)
    for instance, name, number in nuclei:
        if name == emphasised:
            x, y, w, _ = instance.bbox_xywh
            _text(image, str(number), round((x + w) * scale) + 3, round(y * scale) + 2, palette.of_class(name))
    if pixel_size_um:
        _scale_bar(image, 50.0, scale / pixel_size_um)
    return _encode(image, encoding, quality=82)


def _outline(mask: Array, size: tuple[int, int]) -> list[Array]:
    """Return the contours of the enlarged mask, with smoothed pixel steps."""
    padded = np.pad(mask.astype(np.float32), 1)  # a contour along the crop's edge is drawn too
    scale_x, scale_y = size[0] / mask.shape[1], size[1] / mask.shape[0]
    large = cv2.resize(padded, (round(padded.shape[1] * scale_x), round(padded.shape[0] * scale_y)), interpolation=cv2.INTER_LINEAR)
    large = cv2.GaussianBlur(large, (0, 0), max(0.5, 0.5 * scale_x))
    contours, _ = cv2.findContours((large > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    offset = np.array([round(scale_x), round(scale_y)], np.int32)
    return [np.clip(c.reshape(-1, 2) - offset, 0, np.array(size) - 1).astype(np.int32) for c in contours]


def _finish(image: Array, outline: list[Array]) -> Array:
    """Convert (Y, X, 3) float RGB to uint8 with the 1 px outline blended in, so that a dot below it stays visible."""
    image = np.clip(image, 0, 255).astype(np.uint8)
    drawn = image.copy()
    cv2.polylines(drawn, outline, True, _WHITE, 1, cv2.LINE_AA)
    return np.asarray(cv2.addWeighted(drawn, 0.6, image, 0.4, 0))


def _mark(image: Array, signal: SignalMark, scale: float, colour: palette.Rgb) -> None:
    x, y = (signal.x_px + 0.5) * scale - 0.5, (signal.y_px + 0.5) * scale - 0.5
    radius = float(np.clip(2.5 * signal.sigma_px * scale, 6.0, 16.0))
    if signal.counted:
        cv2.circle(image, _fixed(x, y), round(radius * 2**_SHIFT), colour, 1, cv2.LINE_AA, _SHIFT)
        return
    inner, outer = 0.6 * radius, 1.1 * radius
    for dx, dy in ((-0.707, -0.707), (0.707, -0.707), (-0.707, 0.707), (0.707, 0.707)):
        start, end = _fixed(x + inner * dx, y + inner * dy), _fixed(x + outer * dx, y + outer * dy)
        cv2.line(image, start, end, colour, 1, cv2.LINE_AA, _SHIFT)


def _contours(instance: Instance, scale: float) -> list[Array]:
    """Return the outlines of an instance in the scaled frame, in 1/16 px."""
    x, y, _, _ = instance.bbox_xywh
    contours, _ = cv2.findContours(instance.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    offset = np.array([x + 0.5, y + 0.5])
    return [np.rint(((c.reshape(-1, 2) + offset) * scale - 0.5) * 2**_SHIFT).astype(np.int32) for c in contours]


def _scale_bar(image: Array, length_um: float, px_per_um: float) -> None:
    height, width = image.shape[:2]
    length = round(length_um * px_per_um)
    if not 4 <= length <= width // 2:
        return
    y, right = height - 8, width - 8
    cv2.line(image, (right - length, y), (right, y), (255, 255, 255), 2)
    if width >= 400:
        _text(image, f"{length_um:g} um", right - length, y - 7, (255, 255, 255))


def _text(image: Array, text: str, x: int, y: int, colour: palette.Rgb) -> None:
    """Draw text with a dark rim, inside the image."""
    (w, h), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    origin = (int(np.clip(x, 1, max(1, image.shape[1] - w - 2))), int(np.clip(y, h + 1, image.shape[0] - 3)))
    cv2.putText(image, text, origin, _FONT, _FONT_SCALE, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, text, origin, _FONT, _FONT_SCALE, colour, 1, cv2.LINE_AA)


def _fixed(x: float, y: float) -> tuple[int, int]:
    return round(x * 2**_SHIFT), round(y * 2**_SHIFT)


def _lighter(colour: palette.Rgb) -> palette.Rgb:
    """Return the colour half way to white, so that the mark differs from the dot of the same dye."""
    red, green, blue = colour
    return (red + 255) // 2, (green + 255) // 2, (blue + 255) // 2


def _encode(image: Array, encoding: str, quality: int = 92) -> Picture:
    """Encode a (Y, X, 3) uint8 RGB image."""
    options = {
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 9],
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
    }
    if encoding not in options:
        raise CacappError(f"unknown picture encoding {encoding!r}; there are {', '.join(options)}")
    done, data = cv2.imencode(f".{encoding}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options[encoding])
    if not done:
        raise CacappError(f"OpenCV could not encode a {image.shape[1]} x {image.shape[0]} px picture as {encoding}")
    return Picture(f"image/{encoding}", data.tobytes(), image.shape[1], image.shape[0])
