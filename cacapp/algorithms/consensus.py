"""Segmenter ``consensus``: nuclei found by a majority of other segmenters."""

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
    """Majority vote of the named segmenters: nuclei that more than half of them find; independent methods seldom make the same error.

    Two masks are the same nucleus if their IoU is at least ``same_iou``. A nucleus gets the mask with most votes, on a tie that of the
    segmenter named first; its score is the share of the segmenters that found it. Each segmenter runs with its default parameters.
    """

    name: ClassVar[str] = "consensus"
    api_version: ClassVar[int] = 1
    loads: ClassVar[tuple[str, ...]] = ("torch",)

    segmenters: tuple[str, ...] = Field(
        ("dense", "maskrcnn", "sam"),
        min_length=2,
        description="names of the segmenters that vote; on a tie the first one's mask is used",
    )
    votes: int = Field(0, ge=0, le=99, description="number of segmenters that must find a nucleus; 0: more than half of them")
    same_iou: float = Field(SAME_NUCLEUS_IOU, ge=0.5, le=1, description="masks with at least this IoU are the same nucleus")

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
        """Return a SHA-256 over the segmenters, their versions and weights."""
        told = [[part.name, part.origin, part.weights_sha256] for part in self.built_parts()]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        if not self.built_parts():
            raise CacappError("its segmenters are missing: build it with cacapp.host.Host")
        return majority([part.call(dapi, prompts, pixel_size_um) for part in self.built_parts()], self.votes, self.same_iou)


def majority(found: Sequence[Sequence[Instance]], votes: int = 0, iou: float = SAME_NUCLEUS_IOU) -> list[Instance]:
    """Return the nuclei that at least ``votes`` of n segmentations of one frame contain; the score is the share that contains it.

    Args:
        found: the n segmentations; on a tie the mask of the earlier one is used.
        votes: least number of segmentations; 0: more than half of n.
        iou: least IoU of two masks of the same nucleus.
    """
    needed = votes or len(found) // 2 + 1
    kept: list[Instance] = []
    for mine in found:
        others = (has_match(mine, theirs, iou) for theirs in found if theirs is not mine)
        count = 1 + sum((f.astype(int) for f in others), np.zeros(len(mine), int))
        kept += [replace(i, score=n / len(found)) for i, n in zip(mine, count.tolist(), strict=True) if n >= needed]
    return [kept[i] for i in resolve(kept, iou)]
