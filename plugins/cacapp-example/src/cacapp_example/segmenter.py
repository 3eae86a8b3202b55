"""Segmenter ``example-segmenter``: bright blobs as nuclei."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from cacapp import Array, Field, Instance, Prompts, Segmenter
from cacapp.api import um


class ExampleSegmenter(Segmenter):
    """Each bright blob is one nucleus: Otsu's threshold of the smoothed plane, then connected pixels."""

    name: ClassVar[str] = "example-segmenter"
    api_version: ClassVar[int] = 1
    needs_prompts: ClassVar[bool] = False

    smoothing_px: float = Field(1.5, gt=0, le=50, description="standard deviation of the Gaussian before the threshold, px")
    min_diameter_um: float = Field(4.0, gt=0, le=100, description="smallest nucleus: diameter of the disk of its area, µm")
    usual_pixel_um: float = Field(0.2, gt=0, le=10, description="pixel size where the frame does not say, µm")

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        smooth = cv2.GaussianBlur(dapi, (0, 0), self.smoothing_px)
        if smooth.min() == smooth.max():
            return []
        level, _ = cv2.threshold(smooth, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        count, labels, stats, _ = cv2.connectedComponentsWithStats((smooth > level).astype(np.uint8), connectivity=4)
        smallest_px = np.pi / 4 * (self.min_diameter_um / um(pixel_size_um, self.usual_pixel_um)) ** 2
        nuclei = []
        for label in range(1, count):
            x, y, w, h, area = (int(v) for v in stats[label])
            if area >= smallest_px:
                nuclei.append(Instance((x, y, w, h), labels[y : y + h, x : x + w] == label))
        return nuclei
