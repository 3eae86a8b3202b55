"""Images with known truth: disks with a soft rim on a noisy background, the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.types import Array, Instance

PIXEL_SIZE_UM = 0.2
DIAMETER_PX = 42
"""Of a lymphocyte's nucleus, 8.4 µm."""

WHOLE_FRAME_YX = (3600, 4128)
"""A frame of the field's cameras, px."""

BACKGROUND, LIGHT, NOISE = 200.0, 2400.0, 12.0
"""Grey values of a 12-bit camera."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The input of an algorithm, with its truth.

    Attributes:
        name: its name in a verdict.
        image: (Y, X) uint8 or uint16.
        nuclei: the true ones.
        pixel_size_um: edge length of a pixel in µm, None where unknown.
        dots_yx: (N, 2) true signals, px; only in scenes of a probe channel.
    """

    name: str
    image: Array
    nuclei: tuple[Instance, ...] = ()
    pixel_size_um: float | None = PIXEL_SIZE_UM
    dots_yx: tuple[tuple[float, float], ...] = ()


def drawn(
    name: str, shape_yx: tuple[int, int], centres_yx: Sequence[tuple[float, float]], *, diameter_px: float = DIAMETER_PX, seed: int = 1
) -> Scene:
    """Nuclei at ``centres_yx`` (px), round, with texture, a rim blurred by the optics, and noise; uint16."""
    rng = np.random.default_rng(seed)
    light = np.zeros(shape_yx, np.float32)
    nuclei = []
    reach = int(diameter_px)
    for y, x in centres_yx:
        top, left = max(0, int(y) - reach), max(0, int(x) - reach)
        bottom, right = min(shape_yx[0], int(y) + reach + 1), min(shape_yx[1], int(x) + reach + 1)
        rows, columns = np.mgrid[top:bottom, left:right]
        inside = np.hypot(rows - y, columns - x) <= diameter_px / 2
        grain = cv2.GaussianBlur(rng.normal(0, 1, inside.shape).astype(np.float32), (0, 0), 2.5)
        body = inside * (1 + 0.12 * grain / max(float(grain.std()), 1e-6)).astype(np.float32)
        window = light[top:bottom, left:right]
        np.maximum(window, cv2.GaussianBlur(body.astype(np.float32), (0, 0), 1.2), out=window)
        nuclei.append(cropped(inside, left, top))
    return Scene(name, exposed(light * LIGHT, rng), tuple(nuclei))


def exposed(light: Array, rng: np.random.Generator) -> Array:
    """(Y, X) uint16: light in grey values above the background, with the camera's noise; row by row, to spare memory."""
    image = np.empty(light.shape, np.uint16)
    for row in range(0, len(light), 256):
        part = light[row : row + 256]
        noise = rng.standard_normal(part.shape, np.float32) * np.sqrt(NOISE**2 + part)
        image[row : row + 256] = np.clip(BACKGROUND + part + noise, 0, 65535)
    return image


def cropped(mask: Array, left: int, top: int, score: float = 1.0) -> Instance:
    """A (h, w) bool mask whose corner lies at (left, top), cut to its own box."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    return Instance((left + x0, top + y0, x1 - x0, y1 - y0), np.ascontiguousarray(mask[y0:y1, x0:x1]), score)


def blank(name: str, shape_yx: tuple[int, int], value: int = 0, dtype: type = np.uint16) -> Scene:
    return Scene(name, np.full(shape_yx, value, dtype))


def black() -> Scene:
    return blank("a black image", (160, 200))


def noise() -> Scene:
    return drawn("an image of noise alone", (160, 200), [])


def one_nucleus() -> Scene:
    return drawn("one nucleus", (160, 200), [(80, 100)])


def touching_nuclei() -> Scene:
    return drawn("two nuclei that touch", (160, 200), [(80, 100 - DIAMETER_PX / 2), (80, 100 + DIAMETER_PX / 2)])


def several_nuclei() -> Scene:
    """Seven nuclei, two of them cut by the frame's edge."""
    return drawn("seven nuclei, two at the edge", (256, 320), [(60, 60), (60, 130), (70, 210), (150, 90), (170, 220), (128, 0), (250, 300)])


def eight_bit() -> Scene:
    scene = one_nucleus()
    return Scene("an 8-bit image", (scene.image >> 4).astype(np.uint8), scene.nuclei)


def unknown_pixel_size() -> Scene:
    scene = one_nucleus()
    return Scene("an image of unknown pixel size", scene.image, scene.nuclei, None)


def saturated() -> Scene:
    return blank("an image saturated all over", (96, 128), 65535)


def tiny() -> list[Scene]:
    """Images of one pixel, one row, and less than a nucleus."""
    rng = np.random.default_rng(3)
    shapes = ((1, 1), (1, 40), (7, 5), (24, 24))
    return [Scene(f"an image of {w} x {h} px", rng.integers(100, 3000, (h, w)).astype(np.uint16)) for h, w in shapes]


def whole_frame() -> Scene:
    """A frame of full size with ninety nuclei, sixty of which touch another."""
    height, width = WHOLE_FRAME_YX
    centres = [
        (300.0 + 600 * row + dy, 200.0 + 400 * column)
        for row in range(6)
        for column in range(10)
        for dy in (0, DIAMETER_PX)[: 1 + column % 2]
    ]
    return drawn(f"a whole frame of {width} x {height} px", WHOLE_FRAME_YX, centres)


def dots(name: str, shape_yx: tuple[int, int], centres_yx: Sequence[tuple[float, float]], dots_yx: Sequence[tuple[float, float]]) -> Scene:
    """A probe channel: Gaussian dots (σ 1.4 px, 900 grey values) on the dim light of nuclei; uint16."""
    rng = np.random.default_rng(5)
    nuclei = drawn("", shape_yx, centres_yx).nuclei
    light = np.zeros(shape_yx, np.float32)
    for nucleus in nuclei:
        x, y, w, h = nucleus.bbox_xywh
        light[y : y + h, x : x + w][nucleus.mask] = 60
    light = np.asarray(cv2.GaussianBlur(light, (0, 0), 1.5), np.float32)
    for dot_y, dot_x in dots_yx:
        top, left = max(0, int(dot_y) - 9), max(0, int(dot_x) - 9)
        rows, columns = np.mgrid[top : min(shape_yx[0], int(dot_y) + 10), left : min(shape_yx[1], int(dot_x) + 10)]
        light[rows, columns] += 900 * np.exp(-((rows - dot_y) ** 2 + (columns - dot_x) ** 2) / (2 * 1.4**2))
    return Scene(name, exposed(light, rng), nuclei, PIXEL_SIZE_UM, tuple(dots_yx))


def two_dots() -> Scene:
    return dots("a nucleus with two dots", (160, 200), [(80, 100)], [(72.3, 93.6), (86.8, 108.1)])
