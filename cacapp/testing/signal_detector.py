"""The claims of signal detectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from cacapp.testing import scenes
from cacapp.testing.claims import require
from cacapp.testing.image_claims import ImageContract
from cacapp.testing.scenes import Scene
from cacapp.types import Instance

NEAR_PX = 2.0
"""Largest distance of a found dot from the true one, px."""


class SignalDetectorContract(ImageContract):
    """Claims of a signal detector: it sees a probe channel and the true nuclei."""

    kind: ClassVar[str] = "signal-detector"

    def inputs(self, scene: Scene) -> tuple[Any, ...]:
        return scene.image.copy(), tuple(replace(n, mask=n.mask.copy()) for n in scene.nuclei), scene.pixel_size_um

    def ordinary(self) -> Iterator[Scene]:
        scene = scenes.two_dots()
        yield from (scene, replace(scene, name="a channel of unknown pixel size", pixel_size_um=None))
        yield replace(scene, name="an 8-bit channel", image=(scene.image >> 4).astype(np.uint8))
        centres = [(60.0, 60.0), (60.0, 102.0), (150.0, 90.0), (128.0, 0.0), (250.0, 300.0)]
        yield scenes.dots("nuclei that touch each other and the edge", (256, 320), centres, [(60, 81), (128, 0), (255, 300), (150, 90)])

    def empty(self) -> Iterator[Scene]:
        one, dark = scenes.one_nucleus(), scenes.black()
        yield dark
        yield replace(dark, name="a black channel with a nucleus", nuclei=one.nuclei)
        yield replace(scenes.noise(), name="a channel of noise alone", nuclei=one.nuclei)
        yield replace(scenes.saturated(), nuclei=(Instance((10, 10, 40, 40), np.ones((40, 40), bool)),))

    def small(self) -> Iterator[Scene]:
        for scene in scenes.tiny():
            height, width = scene.image.shape
            yield scene
            yield replace(
                scene, name=f"{scene.name}, all of it nucleus", nuclei=(Instance((0, 0, width, height), np.ones((height, width), bool)),)
            )

    def plain(self) -> Scene:
        return scenes.two_dots()

    def whole(self) -> Scene:
        frame = scenes.whole_frame()
        centres = [(y + h / 2, x + w / 2) for x, y, w, h in (n.bbox_xywh for n in frame.nuclei)]
        return scenes.dots(frame.name, frame.image.shape, centres, [(y - 6, x + 5) for y, x in centres])

    def test_two_dots_of_a_nucleus_are_found(self) -> None:
        """Two bright dots of a nucleus are found, each within 2 px of its place, and have the highest SNR."""
        scene = scenes.two_dots()
        found = self.holds(scene)
        require(len(found) >= 2, f"{scene.name}: {len(found)} found")
        strongest = found.yx[np.argsort(-found.snr)[:2]]
        off = np.linalg.norm(strongest[:, None] - np.array(scene.dots_yx)[None], axis=2).min(axis=0).max()
        require(off <= NEAR_PX, f"{scene.name}: the two strongest lie up to {off:.1f} px away from them")

    def test_touching_nuclei_share_no_dot(self) -> None:
        """A dot where two nuclei touch is found once."""
        centres = [(80.0, 100.0 - scenes.DIAMETER_PX / 2), (80.0, 100.0 + scenes.DIAMETER_PX / 2)]
        scene = scenes.dots("a dot where two nuclei touch", (160, 200), centres, [(80, 100)])
        found = self.holds(scene)
        near = np.count_nonzero(np.linalg.norm(found.yx - np.array(scene.dots_yx), axis=1) <= NEAR_PX)
        require(near == 1, f"{scene.name}: it is found {near} times")
