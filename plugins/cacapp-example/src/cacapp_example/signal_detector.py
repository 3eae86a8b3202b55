"""Signal detector ``example-signal-detector``: bright dots inside nuclei."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np
from cacapp import Array, Field, Instance, SignalDetector, Signals
from cacapp.types import label_image


class ExampleSignalDetector(SignalDetector):
    """Maxima of a difference of two Gaussians inside nuclei, compared with the noise (1.4826 MAD) of all nuclei's pixels."""

    name: ClassVar[str] = "example-signal-detector"
    api_version: ClassVar[int] = 1

    sigma_px: float = Field(1.4, ge=0.5, le=20, description="standard deviation of a dot, px")
    min_snr: float = Field(6.0, gt=0, le=1000, description="weakest dot, response over noise")

    def detect(self, plane: Array, nuclei: Sequence[Instance], pixel_size_um: float | None) -> Signals:
        inside = label_image(nuclei, *plane.shape) > 0
        if not inside.any():
            return Signals.empty()
        image = plane.astype(np.float32)
        response = cv2.GaussianBlur(image, (0, 0), self.sigma_px) - cv2.GaussianBlur(image, (0, 0), 1.6 * self.sigma_px)
        values = response[inside]
        noise = 1.4826 * float(np.median(np.abs(values - np.median(values))))
        peaks = (response == cv2.dilate(response, np.ones((3, 3), np.uint8))) & inside & (response > self.min_snr * noise) & (response > 0)
        rows, columns = np.nonzero(peaks)
        height = response[rows, columns].astype(np.float32)
        gain = 1 / 2 - 1 / (1 + 1.6**2)  # of the response to a Gaussian dot of height 1
        return Signals(
            np.stack([rows, columns], axis=1).astype(np.float32),
            (height / max(noise, 1e-3)).astype(np.float32),
            (height / gain).astype(np.float32),
            np.full(len(rows), self.sigma_px, np.float32),
        )
