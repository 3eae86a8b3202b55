"""Nuclei cut out of labelled images, turned and scaled to fit into simulated frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage as ndi

from cacapp.exceptions import UsageError
from cacapp.types import Array

MIN_AREA_PX = 250
MIN_SOLIDITY = 0.9  # below, the label is an aggregate or a part
MAX_ELONGATION = 1.8
MIN_CONTRAST_GV = 10  # of a nucleus' median above the image's: dimmer ones are noise
MOST_PER_IMAGE = 12  # so that a crowded image does not provide most nuclei
MIN_NUCLEI = 20


@dataclass(frozen=True, slots=True)
class NucleusBank:
    """Single nuclei of labelled images: (h, w) float32 brightness above the background, and (h, w) bool masks."""

    textures: tuple[Array, ...]
    masks: tuple[Array, ...]

    @classmethod
    def of(cls, samples: Iterable[tuple[Array, Array]]) -> NucleusBank:
        """Cut the nuclei out of (image, labels) pairs, both (Y, X), labels with 0 for background.

        A nucleus is left out where it touches the image's edge, is small, dim, elongated or not convex; of an image at most
        ``MOST_PER_IMAGE``, the first by label, are taken.

        Raises:
            UsageError: fewer than ``MIN_NUCLEI`` nuclei are usable.
        """
        textures: list[Array] = []
        masks: list[Array] = []
        for image, labels in samples:
            for texture, mask in _nuclei(image.astype(np.float32), labels):
                textures.append(texture)
                masks.append(mask)
        if len(masks) < MIN_NUCLEI:
            raise UsageError(
                f"--nuclei: {len(masks)} usable nuclei in the labelled images, at least {MIN_NUCLEI} are needed: whole, single, "
                f"{MIN_AREA_PX} px or larger, brighter than their background"
            )
        return cls(tuple(textures), tuple(masks))

    def draw(self, rng: np.random.Generator, diameter_px: float) -> tuple[Array, Array]:
        """Draw a nucleus of the given diameter (of the disk of its area), turned at random: mask (h, w) bool, texture (h, w), mean 1."""
        n = int(rng.integers(len(self.masks)))
        texture, mask = self.textures[n], self.masks[n]
        if rng.random() < 0.5:
            texture, mask = texture[:, ::-1], mask[:, ::-1]
        zoom, turn = diameter_px / np.sqrt(mask.sum() * 4 / np.pi), rng.uniform(0, 2 * np.pi)
        cosine, sine = zoom * np.cos(turn), zoom * np.sin(turn)
        h, w = mask.shape
        height, width = (int(np.ceil(a)) + 3 for a in (abs(h * cosine) + abs(w * sine), abs(h * sine) + abs(w * cosine)))
        y, x = (h - 1) / 2, (w - 1) / 2
        matrix = np.array(
            [[cosine, sine, (width - 1) / 2 - cosine * x - sine * y], [-sine, cosine, (height - 1) / 2 + sine * x - cosine * y]]
        )
        # The outline is smoothed at the scale of the source's pixels, or it would show them as steps.
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)
        turned = cv2.warpAffine(soft, matrix, (width, height), flags=cv2.INTER_LINEAR) > 0.5
        light = cv2.warpAffine(np.ascontiguousarray(texture), matrix, (width, height), flags=cv2.INTER_LINEAR)
        rows, columns = np.flatnonzero(turned.any(axis=1)), np.flatnonzero(turned.any(axis=0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        turned, light = turned[box], np.where(turned[box], np.maximum(light[box], 0), 0).astype(np.float32)
        return turned, np.asarray(light / max(float(light[turned].mean()), 1e-6))


def _nuclei(image: Array, labels: Array) -> list[tuple[Array, Array]]:
    background, found = float(np.median(image)), []
    height, width = labels.shape
    # Numbered anew: a label may be any number, and a list of that length is made of the largest.
    _, labels = np.unique(np.r_[0, labels.ravel()], return_inverse=True)
    labels = labels.ravel()[1:].reshape(height, width)
    for value, box in enumerate(ndi.find_objects(labels), 1):
        if box is None or min(box[0].start, box[1].start) == 0 or box[0].stop == height or box[1].stop == width:
            continue
        mask = labels[box] == value
        crop = np.clip(image[box] - background, 0, None) * mask
        if _is_single(mask) and np.median(crop[mask]) >= MIN_CONTRAST_GV:
            found.append((crop, mask))
        if len(found) == MOST_PER_IMAGE:
            break
    return found


def _is_single(mask: Array) -> bool:
    if mask.sum() < MIN_AREA_PX:
        return False
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if len(outlines) != 1:
        return False
    (_, (one, other), _), hull = cv2.minAreaRect(outlines[0]), cv2.contourArea(cv2.convexHull(outlines[0]))
    return bool(cv2.contourArea(outlines[0]) >= MIN_SOLIDITY * hull and max(one, other) <= MAX_ELONGATION * max(1.0, min(one, other)))
