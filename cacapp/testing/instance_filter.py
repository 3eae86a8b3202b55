"""The claims of instance filters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, cast

import numpy as np

from cacapp.api import InstanceFilter
from cacapp.arrays.shapes import shapes_of
from cacapp.testing import scenes
from cacapp.testing.claims import require, same
from cacapp.testing.image_claims import ImageContract
from cacapp.testing.scenes import Scene
from cacapp.types import Instance

SPECK = Instance((40, 10, 1, 1), np.ones((1, 1), bool))
SHEET = Instance((0, 0, 300, 200), np.ones((200, 300), bool))


class FilterContract(ImageContract):
    """Claims of an instance filter: it sees the shapes of a scene's true nuclei."""

    kind: ClassVar[str] = "filter"

    def inputs(self, scene: Scene) -> tuple[Any, ...]:
        height, width = scene.image.shape
        return (shapes_of(scene.nuclei, height, width, scene.pixel_size_um),)

    def ordinary(self) -> Iterator[Scene]:
        several = scenes.several_nuclei()
        odd = (*several.nuclei, SPECK, SHEET)
        yield from (several, scenes.one_nucleus(), scenes.unknown_pixel_size(), scenes.touching_nuclei())
        yield Scene("nuclei, a speck and a sheet", several.image, odd)
        yield Scene("nuclei, a speck and a sheet, pixel size unknown", several.image, odd, None)

    def empty(self) -> Iterator[Scene]:
        black = scenes.black()
        yield from (black, Scene("no nuclei, pixel size unknown", black.image, (), None))

    def small(self) -> Iterator[Scene]:
        for scene in scenes.tiny():
            yield Scene(f"the only pixel of {scene.name}", scene.image, (Instance((0, 0, 1, 1), np.ones((1, 1), bool)),))

    def whole(self) -> Scene:
        """Twenty thousand nuclei, more than a frame has."""
        several = scenes.several_nuclei()
        return Scene("20,000 nuclei", several.image, (several.nuclei * 2858)[:20_000])

    def found(self, result: Any) -> int:
        return len(result[0])

    def test_a_reason_belongs_to_its_nucleus(self) -> None:
        """Shapes in another order get the same reasons in that order."""
        one, scene = cast(InstanceFilter, self.built()), next(s for s in self.ordinary() if len(s.nuclei) > 4)
        turned = Scene(scene.name, scene.image, scene.nuclei[::-1], scene.pixel_size_um)
        there, back = (one.judge(*self.inputs(s)) for s in (scene, turned))
        require(same(there, back[::-1]), f"{scene.name}: the order of the nuclei changes the reasons")
