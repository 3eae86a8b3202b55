"""Prompter ``example-prompter``: bright blobs."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from cacapp import Array, Field, Instance, Prompter, Prompts
from cacapp.api import um


class ExamplePrompter(Prompter):
    """One prompt for each bright blob: Otsu's threshold of the smoothed plane, connected pixels, the point farthest from the edge."""

    name: ClassVar[str] = "example-prompter"
    api_version: ClassVar[int] = 1

    smoothing_px: float = Field(2.0, gt=0, le=50, description="standard deviation of the Gaussian before the threshold, px")
    min_diameter_um: float = Field(4.0, gt=0, le=100, description="smallest blob: diameter of the disk of its area, µm")
    usual_pixel_um: float = Field(0.2, gt=0, le=10, description="pixel size where the frame does not say, µm")

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        smooth = cv2.GaussianBlur(dapi, (0, 0), self.smoothing_px)
        if smooth.min() == smooth.max():
            return Prompts.empty()
        level, _ = cv2.threshold(smooth, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        count, labels, stats, _ = cv2.connectedComponentsWithStats((smooth > level).astype(np.uint8), connectivity=4)
        smallest_px = np.pi / 4 * (self.min_diameter_um / um(pixel_size_um, self.usual_pixel_um)) ** 2
        regions, points = [], []
        for label in range(1, count):
            x, y, w, h, area = (int(v) for v in stats[label])
            if area < smallest_px:
                continue
            mask = labels[y : y + h, x : x + w] == label
            depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
            row, column = np.unravel_index(int(depth.argmax()), depth.shape)
            regions.append(Instance((x, y, w, h), mask))
            points.append((x + int(column), y + int(row)))
        if not points:
            return Prompts.empty()
        xy = np.array(points, np.float32)[:, None]
        return Prompts(xy, np.ones((len(points), 1), np.int8), None, tuple(regions))
