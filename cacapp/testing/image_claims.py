"""The claims of the kinds that work on images: prompters, segmenters, filters and signal detectors."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from cacapp.engine import Engine
from cacapp.exceptions import CacappError
from cacapp.testing import scenes
from cacapp.testing.claims import ClaimError, Contract, pickled_again, require, same
from cacapp.testing.guarded_calls import GUARDED, METHOD, measured, one_thread
from cacapp.testing.scenes import Scene


class ImageContract(Contract):
    """The claims of an algorithm that is given images, or shapes in them."""

    # Each kind defines this.

    def inputs(self, scene: Scene) -> tuple[Any, ...]:
        """Return the arguments of the algorithm's method for a scene; arrays are new and writable."""
        raise NotImplementedError

    # Scenes of what segments or prompts; other kinds have their own.

    def ordinary(self) -> Iterator[Scene]:
        """Yield ordinary scenes."""
        yield from (scenes.several_nuclei(), scenes.eight_bit(), scenes.unknown_pixel_size())

    def empty(self) -> Iterator[Scene]:
        """Yield scenes without nuclei or dots."""
        yield from (scenes.black(), scenes.noise(), scenes.saturated())

    def small(self) -> Iterator[Scene]:
        """Yield scenes smaller than a nucleus."""
        yield from scenes.tiny()

    def plain(self) -> Scene:
        """Return a scene with everything the algorithm needs."""
        return scenes.several_nuclei()

    def whole(self) -> Scene:
        """Return a scene of full size."""
        return scenes.whole_frame()

    def found(self, result: Any) -> int:
        """Return the number of objects in a result."""
        return len(result)

    # The claims.

    def test_it_holds_on_ordinary_images(self) -> None:
        """Results have the shapes, dtypes and bounds of the contract, in 8 and 16 bit, pixel size known or not."""
        for scene in self.ordinary():
            self.holds(scene)

    def test_it_holds_without_nuclei(self) -> None:
        """Images of nothing, noise or pure white are no error; nothing is found where all is black."""
        for scene in self.empty():
            found = self.found(self.holds(scene))
            dark = not scene.image.any()
            require(not (dark and found), f"{scene.name}: {found} objects found")

    def test_it_holds_on_tiny_images(self) -> None:
        """Images of a pixel, a row, or less than a nucleus are no error."""
        for scene in self.small():
            self.holds(scene)

    def test_the_same_again_is_the_same(self) -> None:
        """The same image, parameters and seed give the same result, whatever the random state of the process."""
        scene = self.plain()
        first = self._seeded(1, scene)
        second = self._seeded(2, scene)
        require(
            same(first, second), f"{scene.name}: two runs differ; draw from numpy.random.default_rng(self.seed), not from a global state"
        )

    def test_input_is_untouched(self) -> None:
        """What it is given is not changed, even where it could be."""
        scene = self.plain()
        given, fresh = self.inputs(scene), self.inputs(scene)
        getattr(self.built(), METHOD[self.kind])(*given)
        require(same(given, fresh), f"{scene.name}: it changed its input; work on a copy")

    def test_it_works_in_another_process(self) -> None:
        """It is pickled to a worker process and gives the same there."""
        one, scene = self.built(), self.plain()
        again = pickled_again(one)
        require(again == one, "unpickled it is not equal to itself: keep state out of fields")
        there, _ = self._elsewhere(scene)
        with one_thread():
            here = self.holds(scene)
        require(same(there, here), f"{scene.name}: another process gives another result")

    def test_a_whole_frame_fits_in_memory(self) -> None:
        """A frame of full size is worked on within the bound of memory."""
        _, peak_mb = self._elsewhere(self.whole())
        require(peak_mb <= self.memory_mb, f"{self.whole().name}: the process took {peak_mb} MB, the bound is {self.memory_mb} MB")

    # Shared by the claims.

    def holds(self, scene: Scene) -> Any:
        """Return the guarded result. Raises ClaimError that names the scene where it is wrong."""
        try:
            return GUARDED[self.kind](self.built(), *self.inputs(scene))
        except CacappError as error:
            raise ClaimError(f"{scene.name}: {error}") from error

    def _seeded(self, seed: int, scene: Scene) -> Any:
        """Return the result after the global random states of the process were set to ``seed``."""
        random.seed(seed)
        np.random.seed(seed)
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.manual_seed(seed)
        return self.holds(scene)

    def _elsewhere(self, scene: Scene) -> tuple[Any, int]:
        """Return the result of a worker process that does nothing else, and its peak memory, MB."""
        with Engine(1) as engine:
            (outcome,) = engine.run(partial(measured, self.kind, self.built()), [self.inputs(scene)], apart=True)
        if outcome.result is None:
            raise ClaimError(f"{scene.name}, in another process: {outcome.error}")
        return outcome.result
