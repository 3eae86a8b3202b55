"""The claims of segmenters."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import numpy as np

from cacapp import host as guard
from cacapp.algorithms.watershed import Watershed
from cacapp.api import Prompter, Segmenter
from cacapp.testing import scenes
from cacapp.testing.claims import require
from cacapp.testing.image_claims import ImageContract
from cacapp.testing.scenes import Scene
from cacapp.types import Instance, Prompts, label_image

FOUND_IOU = 0.5
"""Least IoU of an instance with the only nucleus of an image."""

COVERED = 0.5
"""Least share of the pixels of two touching nuclei that the instances cover together."""


class SegmenterContract(ImageContract):
    """Claims of a segmenter. One that needs prompts gets them from ``prompter``."""

    kind: ClassVar[str] = "segmenter"
    prompter: ClassVar[Prompter] = Watershed()

    def inputs(self, scene: Scene) -> tuple[Any, ...]:
        needed = cast(Segmenter, self.built()).needs_prompts
        prompts = guard.prompt(self.prompter, scene.image, scene.pixel_size_um) if needed else Prompts.empty()
        return scene.image.copy(), prompts, scene.pixel_size_um

    def test_one_nucleus_is_found_once(self) -> None:
        """One bright round nucleus gives one instance; its IoU with the nucleus is at least 0.5."""
        scene = scenes.one_nucleus()
        found = self.holds(scene)
        require(len(found) == 1, f"{scene.name}: {len(found)} instances")
        height, width = scene.image.shape
        mine, true = (label_image([i], height, width) > 0 for i in (found[0], scene.nuclei[0]))
        iou = np.count_nonzero(mine & true) / np.count_nonzero(mine | true)
        require(iou >= FOUND_IOU, f"{scene.name}: IoU with the nucleus is {iou:.2f}, at least {FOUND_IOU} is asked for")

    def test_touching_nuclei_are_not_lost(self) -> None:
        """Two nuclei that touch are found, as one to four instances that together cover at least 50 % of their pixels."""
        scene = scenes.touching_nuclei()
        _covered(scene, self.holds(scene))


def _covered(scene: Scene, found: list[Instance]) -> None:
    height, width = scene.image.shape
    mine = label_image(found, height, width) > 0
    true = label_image(scene.nuclei, height, width) > 0
    share = np.count_nonzero(mine & true) / np.count_nonzero(true)
    require(share >= COVERED, f"{scene.name}: {share:.0%} of their pixels are found, at least {COVERED:.0%} are asked for")
    require(len(found) <= 2 * len(scene.nuclei), f"{scene.name}: {len(found)} instances")
