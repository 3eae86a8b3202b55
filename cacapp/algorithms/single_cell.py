"""Filter ``single-cell``: bounds on the shape of a single nucleus."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cacapp.api import Field, InstanceFilter
from cacapp.arrays.robust import robust_sd
from cacapp.types import Array, Shapes


class SingleCell(InstanceFilter):
    """Bounds on area, length, width, roundness and solidity.

    In µm if the pixel size is known. Otherwise size bounds are estimated from the nuclei of the frame: median times
    exp(± ``spread`` robust standard deviations) of the logarithm, the standard deviation (1.4826 MAD) being at least ``min_log_sd``.
    """

    name: ClassVar[str] = "single-cell"
    api_version: ClassVar[int] = 1

    min_area_um2: float = Field(12.0, ge=0, description="smallest area, µm²")
    max_area_um2: float = Field(250.0, gt=0, description="largest area, µm²")
    min_width_um: float = Field(3.0, ge=0, description="smallest width (short side of the minimum-area rectangle), µm")
    max_length_um: float = Field(25.0, gt=0, description="largest length (long side of the minimum-area rectangle), µm")
    min_roundness: float = Field(0.5, ge=0, le=1, description="smallest roundness 4πA/P², 1 for a disk")
    min_solidity: float = Field(0.85, ge=0, le=1, description="smallest solidity: area over that of the convex hull")
    spread: float = Field(
        4.0, gt=0, le=20, description="pixel size unknown: bounds lie this many robust standard deviations from the median"
    )
    min_log_sd: float = Field(0.15, gt=0, le=2, description="pixel size unknown: least standard deviation of the logarithm of a size")

    def limits(self, shapes: Shapes) -> dict[str, float]:
        same = {"min_roundness": self.min_roundness, "min_solidity": self.min_solidity}
        if shapes.pixel_size_um is not None:
            return same | {
                "min_area_um2": self.min_area_um2,
                "max_area_um2": self.max_area_um2,
                "min_width_um": self.min_width_um,
                "max_length_um": self.max_length_um,
            }
        if not len(shapes):
            return same
        area, width, length = (self._range(v) for v in (shapes.area_px, shapes.width_px, shapes.length_px))
        return same | {"min_area_px": area[0], "max_area_px": area[1], "min_width_px": width[0], "max_length_px": length[1]}

    def judge(self, shapes: Shapes) -> list[str | None]:
        if not len(shapes):
            return []
        limits = self.limits(shapes)
        pixel = shapes.pixel_size_um
        side, unit, square = (1.0, "px", "px") if pixel is None else (pixel, "um", "um2")
        area, width, length = shapes.area_px * side**2, shapes.width_px * side, shapes.length_px * side
        tests = [
            ("area below the minimum", area < limits[f"min_area_{square}"]),
            ("area above the maximum", area > limits[f"max_area_{square}"]),
            ("width below the minimum", width < limits[f"min_width_{unit}"]),
            ("length above the maximum", length > limits[f"max_length_{unit}"]),
            ("not round", shapes.roundness < limits["min_roundness"]),
            ("not solid", shapes.solidity < limits["min_solidity"]),
        ]
        failed = np.stack([t for _, t in tests])
        return [tests[int(column.argmax())][0] if column.any() else None for column in failed.T]

    def _range(self, values: Array) -> tuple[float, float]:
        logs = np.log(np.maximum(values, 1e-6))
        median = float(np.median(logs))
        sd = max(self.min_log_sd, robust_sd(logs, median))
        return float(np.exp(median - self.spread * sd)), float(np.exp(median + self.spread * sd))
