"""The claims of prompters."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from cacapp.testing import scenes
from cacapp.testing.claims import require
from cacapp.testing.image_claims import ImageContract
from cacapp.testing.scenes import Scene
from cacapp.types import Array, Instance, Prompts, label_image

COVERED = 0.5
"""Least share of a nucleus that the regions cover where no point lies on it."""


class PrompterContract(ImageContract):
    """Claims of a prompter."""

    kind: ClassVar[str] = "prompter"

    def inputs(self, scene: Scene) -> tuple[Any, ...]:
        return scene.image.copy(), scene.pixel_size_um

    def test_one_nucleus_is_prompted_once(self) -> None:
        """One bright round nucleus gets one prompt, with a positive point or the centre of a box on it."""
        scene = scenes.one_nucleus()
        found = self.holds(scene)
        require(len(found) == 1, f"{scene.name}: {len(found)} prompts")
        require(_hits(scene, scene.nuclei[0], found), f"{scene.name}: no positive point, and no box's centre, lies on it")

    def test_touching_nuclei_are_prompted(self) -> None:
        """Two nuclei that touch each have a positive point or the centre of a box on them, or a region over at least 50 % of them."""
        scene = scenes.touching_nuclei()
        found = self.holds(scene)
        require(1 <= len(found) <= 4, f"{scene.name}: {len(found)} prompts")
        height, width = scene.image.shape
        regions = label_image(found.regions, height, width) > 0
        for n, nucleus in enumerate(scene.nuclei):
            inside = label_image([nucleus], height, width) > 0
            reached = _hits(scene, nucleus, found) or np.count_nonzero(regions & inside) >= COVERED * np.count_nonzero(inside)
            require(reached, f"{scene.name}: nothing points at nucleus {n}")


def _hits(scene: Scene, nucleus: Instance, prompts: Prompts) -> bool:
    """Return whether a positive point, or the centre of a box, lies on the nucleus."""
    on = label_image([nucleus], *scene.image.shape) > 0
    places: list[Array] = [prompts.points_xy[prompts.point_labels == 1]]
    if prompts.boxes_xyxy is not None:
        places.append(prompts.boxes_xyxy.reshape(-1, 2, 2).mean(axis=1))
    columns, rows = np.rint(np.concatenate(places)).astype(int).T
    return bool(on[rows.clip(0, on.shape[0] - 1), columns.clip(0, on.shape[1] - 1)].any())
