"""A segmenter whose result can be computed by hand, and images for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from cacapp.algorithms import plugin as builtin
from cacapp.api import Field, Prompter, Segmenter, TrainableSegmenter
from cacapp.arrays.regions import instances_of
from cacapp.hookspecs import hookimpl
from cacapp.host import Host
from cacapp.types import Array, Instance, Prompts

CALLS: list[str] = []
"""Which segmenter was called, in order."""


class Bright(Segmenter):
    """Every connected bright region."""

    name: ClassVar[str] = "bright"
    api_version: ClassVar[int] = 1
    needs_prompts: ClassVar[bool] = False
    level: int = Field(100, ge=0, description="grey value from which a pixel is a nucleus")
    weights: str = Field("", description="what training gave; a file that holds the level")

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        CALLS.append(self.name)
        if dapi.max() == 255:
            raise ValueError("dazzled")
        level = int(Path(self.weights).read_text()) if self.weights else self.level
        return instances_of(cv2.connectedComponents((dapi >= level).astype(np.uint8))[1])


class Cellpose(Bright, TrainableSegmenter):
    """Trainable: learns the level from the labels."""

    name: ClassVar[str] = "cellpose"

    def train(self, samples: Any, out: Path, seed: int, progress: Any) -> Path:
        CALLS.append("train")
        out.mkdir(parents=True, exist_ok=True)
        level = min(int(s.dapi[s.labels > 0].min()) for s in samples)
        (out / "level.txt").write_text(str(level))
        return out / "level.txt"


class Broken(Bright):
    """Never works."""

    name: ClassVar[str] = "broken"

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        CALLS.append(self.name)
        raise ValueError("no weights")


class Idle(Prompter):
    """Prompts nothing."""

    name: ClassVar[str] = "idle"
    api_version: ClassVar[int] = 1

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        return Prompts.empty()


class Plugin:
    def __init__(self, *classes: type) -> None:
        self.classes = classes

    @hookimpl
    def cacapp_segmenters(self) -> list[type[Segmenter]]:
        return [c for c in self.classes if issubclass(c, Segmenter)]

    @hookimpl
    def cacapp_prompters(self) -> list[type[Prompter]]:
        return [c for c in self.classes if issubclass(c, Prompter)]


class Told:
    """Keeps what a step tells."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.warnings: list[str] = []
        self.advanced = 0

    def start(self, what: str, total: int) -> None:
        return None

    def advance(self, note: str = "", by: int = 1) -> None:
        self.advanced += by

    def warn(self, line: str) -> None:
        self.warnings.append(line)

    def fail(self, line: str) -> None:
        self.failures.append(line)


def host_with(*classes: type) -> Host:
    host = Host()
    host.register(builtin, "builtin", "cacapp", "1")
    if classes:
        host.register(Plugin(*classes), "mine", "acme-cells", "2.0")
    return host


def squares(greys: Sequence[int], side: int = 8) -> tuple[Array, Array]:
    """A (20, 100) uint8 image of squares with these grey values, and its labels."""
    dapi, labels = np.zeros((20, 100), np.uint8), np.zeros((20, 100), np.uint16)
    for n, grey in enumerate(greys):
        window = np.s_[4 : 4 + side, 4 + 16 * n : 4 + 16 * n + side]
        dapi[window], labels[window] = grey, n + 1
    return dapi, labels


def save(folder: Path, name: str, greys: Sequence[int], **labels: Any) -> None:
    dapi, truth = squares(greys, **labels)
    for part, image in (("images", dapi), ("labels", truth)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / part / f"{name}.png"), image)
