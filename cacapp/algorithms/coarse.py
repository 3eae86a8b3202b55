"""Segmenter ``coarse``: the regions of the prompter as instances."""

from __future__ import annotations

from typing import ClassVar

from cacapp.api import Segmenter
from cacapp.types import Array, Instance, Prompts


class Coarse(Segmenter):
    """Regions of the prompter, unchanged; no weights are needed."""

    name: ClassVar[str] = "coarse"
    api_version: ClassVar[int] = 1

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        return list(prompts.regions)
