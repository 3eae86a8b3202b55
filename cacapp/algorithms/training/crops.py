"""Crops of training images with augmentation: rotation, scale, camera."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cacapp.algorithms.training.samples import Scaled
from cacapp.types import UNKNOWN, Array

SCALE_SD = 0.2
TURNED = 0.3
"""Share of crops rotated by any angle; the others by multiples of 90°, without interpolation."""

NEAR_NUCLEUS = 0.8
"""Share of crops with a nucleus near their centre."""


SMALL = 0.15
"""Share of crops turned into a smaller frame."""


class Crops:
    """Random square crops of ``side_px`` from images at working scale, in proportion to the root of the image's area.

    Beyond the edge of an image, pixels are mirrored and labels are UNKNOWN.
    """

    def __init__(self, images: Sequence[Scaled], side_px: int) -> None:
        self.images, self.side_px = tuple(images), side_px
        useful = np.array([bool(len(one.centres_yx)) for one in self.images])
        area = np.array([one.height_px * one.width_px for one in self.images], float)
        weight = np.sqrt(area) * np.where(useful, 1.0, 0.2)
        self._share = weight / weight.sum()

    def draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw a crop: (side_px, side_px) uint8 grey levels and int16 labels."""
        one = self.images[int(rng.choice(len(self.images), p=self._share))]
        near = len(one.centres_yx) > 0 and rng.random() < NEAR_NUCLEUS
        spread = self.side_px / 3
        if near:
            middle = one.centres_yx[rng.integers(len(one.centres_yx))] + rng.uniform(-spread, spread, 2)
        else:
            middle = rng.uniform(0, (one.height_px, one.width_px))
        angle = rng.uniform(0, 360) if rng.random() < TURNED else 90.0 * int(rng.integers(4))
        image, labels = cut(one, middle, self.side_px, float(np.exp(rng.normal(0, SCALE_SD))), angle, bool(rng.random() < 0.5))
        seen = other_camera(rng, image.astype(np.float32))
        return small_frame(rng, seen, labels) if rng.random() < SMALL else (seen, labels)


def cut(one: Scaled, middle_yx: Array, side_px: int, scale: float = 1.0, angle_deg: float = 0.0, flip: bool = False) -> tuple[Array, Array]:
    """Cut the square around a point, enlarged by ``scale``, rotated and mirrored: (side_px, side_px) int16 grey levels and labels."""
    image, labels = one.read()
    reach = int(np.ceil(side_px / scale * (0.5 if angle_deg % 90 == 0 else 0.71))) + 2
    y, x = (float(np.clip(v, 0, n - 1)) for v, n in zip(middle_yx, image.shape, strict=True))
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    part = (slice(top, int(y) + reach + 1), slice(left, int(x) + reach + 1))
    # only the pixels of the crop are read from the file; beyond the edge the image is mirrored
    image, labels = np.ascontiguousarray(image[part]), np.ascontiguousarray(labels[part])
    turn = np.deg2rad(angle_deg)
    cosine, sine = np.cos(turn) / scale, np.sin(turn) / scale
    back = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0]])
    if flip:
        back[:, 0] *= -1
    half = (side_px - 1) / 2
    back[:, 2] = np.array([x - left, y - top]) - back[:, :2] @ [half, half]
    size, inverse = (side_px, side_px), cv2.WARP_INVERSE_MAP
    if scale < 0.7:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    grey = cv2.warpAffine(image, back, size, flags=cv2.INTER_LINEAR | inverse, borderMode=cv2.BORDER_REFLECT_101)
    seen = cv2.warpAffine(labels, back, size, flags=cv2.INTER_NEAREST | inverse, borderMode=cv2.BORDER_CONSTANT, borderValue=UNKNOWN)
    return grey, seen


def other_camera(rng: np.random.Generator, image: Array) -> Array:
    """Simulate another camera: blur, gamma, gain, offset, noise; (Y, X) uint8."""
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.8)))
    if rng.random() < 0.5:
        image = 255 * (np.clip(image, 0, 255) / 255) ** np.exp(rng.uniform(-0.5, 0.4))
    image = image * np.exp(rng.uniform(-0.9, 0.25)) + (rng.uniform(0, 20) if rng.random() < 0.3 else 0)
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(0.5, 8), image.shape)
    return np.asarray(np.round(np.clip(image, 0, 255)).astype(np.uint8))


def small_frame(rng: np.random.Generator, image: Array, labels: Array) -> tuple[Array, Array]:
    """Turn a crop into a smaller frame: a part of it with uniform background around."""
    sides = [round(n * rng.uniform(0.25, 1)) for n in image.shape]
    top, left = (int(rng.integers(n - side + 1)) for n, side in zip(image.shape, sides, strict=True))
    here = (slice(top, top + sides[0]), slice(left, left + sides[1]))
    whole, seen = np.full_like(image, int(np.percentile(image[here], 5))), np.zeros_like(labels)
    whole[here], seen[here] = image[here], labels[here]
    return whole, seen


def validation_crops(images: Sequence[Scaled], side_px: int, count: int, rng: np.random.Generator) -> list[tuple[Array, Array]]:
    """Return ``count`` crops with nuclei, without augmentation, for validation, spread evenly over the images."""
    useful = [one for one in images if len(one.centres_yx)]
    crops = []
    for k in range(count):
        one = useful[k % len(useful)]
        image, labels = cut(one, one.centres_yx[rng.integers(len(one.centres_yx))], side_px)
        crops.append((np.clip(image, 0, 255).astype(np.uint8), labels))
    return crops
