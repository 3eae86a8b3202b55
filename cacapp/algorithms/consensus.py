"""Segmenter ``consensus``: what a majority of other segmenters finds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import field_validator

from cacapp.api import Field, Segmenter
from cacapp.arrays.agreement import SAME_NUCLEUS_IOU, has_match
from cacapp.arrays.overlap import resolve
from cacapp.exceptions import CacappError
from cacapp.types import Array, Instance, Prompts


class Consensus(Segmenter):
    """Nuclei that more than half of the named segmenters find, whichever they are: mistakes of independent methods seldom agree.

    Two masks are one nucleus from ``same_iou`` on. A nucleus gets the mask of the first-named segmenter among those with most votes; its
    score is the share of the segmenters that found it. Each segmenter runs with its default parameters.
    """

    name: ClassVar[str] = "consensus"
    api_version: ClassVar[int] = 1
    loads: ClassVar[tuple[str, ...]] = ("torch",)

    segmenters: tuple[str, ...] = Field(
        ("dense", "maskrcnn", "sam"), min_length=2, description="names of the segmenters that vote; of equal masks the first-named's stays"
    )
    votes: int = Field(0, ge=0, le=99, description="segmenters that must find a nucleus; 0: more than half of them")
    same_iou: float = Field(SAME_NUCLEUS_IOU, ge=0.5, le=1, description="masks with this IoU are one nucleus")

    @field_validator("segmenters", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value

    @field_validator("segmenters")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each segmenter has one vote: name it once")
        return value

    def parts(self) -> Sequence[tuple[str, str]]:
        return [("segmenter", name) for name in self.segmenters]

    def weights_sha256(self) -> str | None:
        """Digest of what the segmenters are, with their versions and weights."""
        told = [[part.name, part.origin, part.weights_sha256] for part in self.built_parts()]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        if not self.built_parts():
            raise CacappError("its segmenters are missing: build it with cacapp.host.Host")
        return majority([part.call(dapi, prompts, pixel_size_um) for part in self.built_parts()], self.votes, self.same_iou)


def majority(found: Sequence[Sequence[Instance]], votes: int = 0, iou: float = SAME_NUCLEUS_IOU) -> list[Instance]:
    """Nuclei that at least ``votes`` of n segmentations of one frame have, each once, with the share that has it as its score.

    Args:
        found: the n segmentations; of masks with equal votes the earlier segmentation's stays.
        votes: 0: more than half of n.
        iou: from which two masks are one nucleus.
    """
    needed = votes or len(found) // 2 + 1
    kept: list[Instance] = []
    for mine in found:
        others = (has_match(mine, theirs, iou) for theirs in found if theirs is not mine)
        count = 1 + sum((f.astype(int) for f in others), np.zeros(len(mine), int))
        kept += [replace(i, score=n / len(found)) for i, n in zip(mine, count.tolist(), strict=True) if n >= needed]
    return [kept[i] for i in resolve(kept, iou)]
