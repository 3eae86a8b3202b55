"""Each claim of the contract suite fails here once, for an algorithm that is wrong in one way."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from cacapp.algorithms.coarse import Coarse
from cacapp.algorithms.log import LogDetector
from cacapp.algorithms.single_cell import SingleCell
from cacapp.algorithms.watershed import Watershed
from cacapp.api import Field
from cacapp.exceptions import CacappError
from cacapp.readers import examples
from cacapp.readers.built_in import TiffReader
from cacapp.scene import Scene
from cacapp.testing import CONTRACTS, ClaimError, ReaderContract, Reference, claims_of
from cacapp.types import Array, Instance, Prompts, Shapes, Signals


class Undocumented(Watershed):
    """As watershed."""

    reach_um: float = Field(1.0, ge=0, description="how far it looks")


class Unbounded(Watershed):
    """As watershed."""

    reach_um: float = Field(1.0, description="how far it looks, µm")


class Lax(Watershed):
    """As watershed."""

    model_config: ClassVar[Any] = {"extra": "ignore"}


class Forgetful(Coarse):
    """As coarse."""

    side_px: Any = Field((1, 2), description="sides, px")

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {"side_px": [len(str(self.side_px))]}


class WrongDtype(Watershed):
    """Points as float64."""

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        found = super().prompt(dapi, pixel_size_um)
        return Prompts(found.points_xy.astype(float), found.point_labels, None, found.regions)


class NeedsPixelSize(Coarse):
    """As coarse, where the pixel size is known."""

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        assert pixel_size_um is not None
        return super().segment(dapi, prompts, pixel_size_um)


class SeesThings(Coarse):
    """A nucleus at the corner of every image."""

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        return [*prompts.regions, Instance((0, 0, 1, 1), np.ones((1, 1), bool))]


class FailsOnTiny(Watershed):
    """As watershed, on images it can divide."""

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        if min(dapi.shape) < 8:
            raise ValueError("image too small")
        return super().prompt(dapi, pixel_size_um)


class Draws(Coarse):
    """Scores drawn from the process' own random state."""

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        return [Instance(r.bbox_xywh, r.mask, float(np.random.random())) for r in prompts.regions]


class Meddles(LogDetector):
    """Takes the background off the plane it was lent."""

    def detect(self, plane: Array, nuclei: Sequence[Instance], pixel_size_um: float | None) -> Signals:
        found = super().detect(plane, nuclei, pixel_size_um)
        if plane.flags.writeable:
            plane -= plane.min()
        return found


class Tied(Coarse):
    """Holds what cannot be sent."""

    @property
    def lock(self) -> Any:
        return self.__dict__.setdefault("_lock", threading.Lock())

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle '_thread.lock' object")


class Greedy(Coarse):
    """Takes a gigabyte."""

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        if dapi.size > 10**6:
            np.ones(2**27)
        return super().segment(dapi, prompts, pixel_size_um)


class Twice(Watershed):
    """Every prompt twice."""

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        found = super().prompt(dapi, pixel_size_um)
        return Prompts(np.repeat(found.points_xy, 2, 0), np.repeat(found.point_labels, 2, 0))


class Twofold(Coarse):
    """Every nucleus twice."""

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        return [*prompts.regions, *prompts.regions]


class Blind(Coarse):
    """Nothing where there are two."""

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        return list(prompts.regions) if len(prompts) == 1 else []


class Sees1(Watershed):
    """The first nucleus only."""

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        found = super().prompt(dapi, pixel_size_um)
        return Prompts(found.points_xy[:1], found.point_labels[:1], None, found.regions[:1])


class Ranks(SingleCell):
    """Rejects the first."""

    def judge(self, shapes: Shapes) -> list[str | None]:
        return ["first" if n == 0 else None for n in range(len(shapes))]


class Shifted(LogDetector):
    """Dots told three pixels off."""

    def detect(self, plane: Array, nuclei: Sequence[Instance], pixel_size_um: float | None) -> Signals:
        found = super().detect(plane, nuclei, pixel_size_um)
        return Signals(np.clip(found.yx - 3, 0, None), found.snr, found.amplitude, found.sigma_px)


class PerNucleus(LogDetector):
    """Each nucleus on its own."""

    def detect(self, plane: Array, nuclei: Sequence[Instance], pixel_size_um: float | None) -> Signals:
        parts = [super(PerNucleus, self).detect(plane, [one], pixel_size_um) for one in nuclei]
        if not parts:
            return Signals.empty()
        return Signals(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("yx", "snr", "amplitude", "sigma_px")))


class Nameless(Coarse):
    api_version: ClassVar[int] = 1


class OtherNames(TiffReader):
    """As tiff, with the channels turned round."""

    def scenes(self, path: Path) -> list[Scene]:
        return [replace(scene, channels=scene.channels[::-1]) for scene in super().scenes(path)]


class Brightens(TiffReader):
    """As tiff, brighter each time a plane is read."""

    def scenes(self, path: Path) -> list[Scene]:
        times = count()
        return [replace(s, read=lambda c, z, read=s.read: read(c, z) + np.uint16(next(times))) for s in super().scenes(path)]


class Eager(TiffReader):
    """As tiff, with every plane in memory."""

    def scenes(self, path: Path) -> list[Scene]:
        (scene,) = super().scenes(path)
        kept = [scene.read(c, 0) for c in range(2)]
        return [replace(scene, read=lambda c, z: kept[c])]


class TakesAll(TiffReader):
    """As tiff, and black where it cannot read."""

    def scenes(self, path: Path) -> list[Scene]:
        try:
            return super().scenes(path)
        except (CacappError, OSError):
            return [Scene("", "", np.dtype("uint16"), 360, 400, ("DAPI", "red"), lambda c, z: np.zeros((360, 400), np.uint16))]


class FillsUp(TakesAll):
    """As tiff, and black where a file was cut off."""

    def claims(self, path: Path, start: bytes) -> bool:
        return start[:2] in (b"II", b"MM")


class Leaves(TiffReader):
    """As tiff, with a file beside it."""

    def scenes(self, path: Path) -> list[Scene]:
        path.with_suffix(".seen").touch()
        return super().scenes(path)


WRONG = [
    ("segmenter", "test_it_is_what_its_kind_asks_for", Nameless, "no docstring"),
    ("prompter", "test_parameters_are_documented_with_units", Undocumented, "reach_um does not state its unit, µm"),
    ("prompter", "test_parameters_are_documented_with_units", Unbounded, "reach_um has no bounds"),
    ("prompter", "test_parameters_survive_the_record", Lax, "unknown parameter is taken"),
    ("segmenter", "test_parameters_survive_the_record", Forgetful, "built again from"),
    ("prompter", "test_it_holds_on_ordinary_images", WrongDtype, "points_xy must be float32"),
    ("segmenter", "test_it_holds_on_ordinary_images", NeedsPixelSize, "an image of unknown pixel size: .*AssertionError"),
    ("segmenter", "test_it_holds_without_nuclei", SeesThings, "a black image: 1 objects found"),
    ("prompter", "test_it_holds_on_tiny_images", FailsOnTiny, "an image of 1 x 1 px: .*image too small"),
    ("segmenter", "test_the_same_again_is_the_same", Draws, "two runs differ"),
    ("signal-detector", "test_input_is_untouched", Meddles, "it changed its input"),
    ("segmenter", "test_it_works_in_another_process", Tied, "cannot be pickled: TypeError"),
    ("segmenter", "test_a_whole_frame_fits_in_memory", Greedy, r"took \d+ MB, the bound is 900 MB"),
    ("prompter", "test_one_nucleus_is_prompted_once", Twice, "2 prompts"),
    ("prompter", "test_touching_nuclei_are_prompted", Sees1, "nothing points at nucleus 1"),
    ("segmenter", "test_one_nucleus_is_found_once", Twofold, "2 instances"),
    ("segmenter", "test_touching_nuclei_are_not_lost", Blind, "0% of their pixels are found"),
    ("filter", "test_a_reason_belongs_to_its_nucleus", Ranks, "the order of the nuclei changes the reasons"),
    ("signal-detector", "test_two_dots_of_a_nucleus_are_found", Shifted, "px away from them"),
    ("signal-detector", "test_touching_nuclei_share_no_dot", PerNucleus, "it is found 2 times"),
    ("reader", "test_it_says_of_a_file_what_is_in_it", OtherNames, r"channels \('red', 'DAPI'\), and it has \('DAPI', 'red'\)"),
    ("reader", "test_pixels_are_those_of_the_reference", Brightens, "a plane differs when it is read again"),
    ("reader", "test_planes_are_read_when_they_are_asked_for", Eager, "all planes were in memory once it was open"),
    ("reader", "test_what_is_no_file_of_its_format_is_refused", TakesAll, "is no file of its format, and it gave 1 images"),
    ("reader", "test_a_truncated_file_gives_no_other_pixels", FillsUp, "has other pixels than the whole file"),
    ("reader", "test_files_are_untouched", Leaves, "it changed files"),
]


class TruthKnown(ReaderContract):
    def references(self, folder: Path) -> list[Reference]:
        return [Reference(examples.write_tiff(folder), 1, examples.CHANNELS, (0.2, 0.2), pixels=examples.example_pixels())]


@pytest.mark.parametrize(("kind", "claim", "wrong", "why"), WRONG, ids=[f"{w.__name__}-{c.removeprefix('test_')}" for _, c, w, _ in WRONG])
def test_an_algorithm_that_breaks_a_claim_is_reported_with_the_claim(kind: str, claim: str, wrong: type, why: str) -> None:
    if wrong is Nameless:
        wrong.__doc__ = ""
    contract = type("Checked", (TruthKnown if kind == "reader" else CONTRACTS[kind],), {"algorithm": wrong, "memory_mb": 900})()
    with pytest.raises(ClaimError, match=why) as caught:
        getattr(contract, claim)()
    assert "\n" not in str(caught.value)


def test_every_claim_of_every_kind_is_broken_here() -> None:
    broken = {claim for _, claim, _, _ in WRONG}
    assert {claim for kind in CONTRACTS for claim in claims_of(kind)} == broken
