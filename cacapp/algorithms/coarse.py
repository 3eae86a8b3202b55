"""Segmenter ``coarse``: the prompter's own regions as instances."""

from __future__ import annotations

from typing import ClassVar

from cacapp.api import Segmenter
from cacapp.types import Array, Instance, Prompts


class Coarse(Segmenter):
    """The prompter's regions, unchanged: no weights needed."""

    name: ClassVar[str] = "coarse"
    api_version: ClassVar[int] = 1

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        return list(prompts.regions)
