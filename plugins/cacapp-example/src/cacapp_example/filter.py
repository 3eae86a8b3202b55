"""Filter ``example-filter``: rejects elongated and irregular nuclei."""

from __future__ import annotations

from typing import ClassVar

from cacapp import Field, InstanceFilter, Shapes


class ExampleFilter(InstanceFilter):
    """Rejects a nucleus that is too long for its width, or that fills too little of its convex hull."""

    name: ClassVar[str] = "example-filter"
    api_version: ClassVar[int] = 1

    max_elongation: float = Field(2.0, ge=1, le=20, description="largest length over width of the minimum-area rectangle")
    min_solidity: float = Field(0.85, ge=0, le=1, description="smallest share of the convex hull that the nucleus fills")

    def judge(self, shapes: Shapes) -> list[str | None]:
        long = shapes.length_px > self.max_elongation * shapes.width_px
        irregular = shapes.solidity < self.min_solidity
        return ["too long" if a else "irregular" if b else None for a, b in zip(long.tolist(), irregular.tolist(), strict=True)]

    def limits(self, shapes: Shapes) -> dict[str, float]:
        return {"max_elongation": self.max_elongation, "min_solidity": self.min_solidity}
