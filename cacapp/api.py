"""The contracts of an algorithm: what a plugin author subclasses.

An algorithm is a small frozen pydantic model: its fields are its parameters, declared once with default, bounds, unit and
description. The command line (``--set name=value``), the database, the reports and ``cacapp plugins show NAME`` read them there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from cacapp.scene import Scene
from cacapp.types import Array, Instance, Prompts, Shapes, Signals, TrainingSample

__all__ = [
    "API_VERSION",
    "Algorithm",
    "Array",
    "Field",
    "InstanceFilter",
    "Part",
    "Prompter",
    "Reader",
    "Scene",
    "Segmenter",
    "SignalDetector",
    "TrainableSegmenter",
    "TrainingProgress",
    "TrainingSamples",
    "um",
]

API_VERSION = 1

PARTS = "_cacapp_parts"
"""Where a built algorithm carries the calls of its parts: see ``cacapp.host.origin`` for why there."""


class Part(NamedTuple):
    """An algorithm that another one is made of.

    Attributes:
        origin: its plugin, distribution and version.
        weights_sha256: of the model weights behind it.
        call: its own method (segment, prompt, judge or detect), guarded by the host.
    """

    name: str
    origin: str
    weights_sha256: str | None
    call: Callable[..., Any]


class Algorithm(BaseModel):
    """Common base of all kinds. Give ``name`` (unique within its kind, kebab-case) and ``api_version`` (a literal).

    Attributes:
        loads: modules that its methods import, such as torch: a worker process imports them before its first frame.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    api_version: ClassVar[int]
    loads: ClassVar[tuple[str, ...]] = ()

    def weights_sha256(self) -> str | None:
        """Return the digest of the model weights, stored with every run; None for an algorithm without weights."""
        return None

    def parts(self) -> Sequence[tuple[str, str]]:
        """Return the algorithms that this one is made of, (kind, name) each. The host builds them with their defaults."""
        return ()

    def built_parts(self) -> tuple[Part, ...]:
        """Return the built ``parts`` in their order; empty where this algorithm was not built by the host."""
        parts: tuple[Part, ...] = self.__dict__.get(PARTS, ())
        return parts


class Prompter(Algorithm):
    """Proposes coarse regions and prompts for a promptable segmenter."""

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        """Return prompts for the nuclei of a frame.

        Args:
            dapi: (Y, X) uint8 or uint16, read-only.
            pixel_size_um: edge length of a pixel in µm, None where unknown.
        """
        raise NotImplementedError


class Segmenter(Algorithm):
    """Turns prompts into one Instance a nucleus. ``needs_prompts`` False: called with empty prompts and no prompter is run."""

    needs_prompts: ClassVar[bool] = True

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        """Return the nuclei of a frame, one Instance each.

        Args:
            dapi: (Y, X) uint8 or uint16, read-only.
            prompts: the result of the prompter; empty where ``needs_prompts`` is False.
            pixel_size_um: edge length of a pixel in µm, None where unknown.
        """
        raise NotImplementedError


class TrainingProgress(Protocol):
    """Receiver of a training's progress."""

    def start(self, what: str, total: int) -> None:
        """Report that work of ``total`` items begins."""

    def advance(self, note: str = "", by: int = 1) -> None:
        """Report that ``by`` items are done; ``note``: for example the loss and the time left."""

    def warn(self, line: str) -> None:
        """Report a warning in one line."""


class TrainingSamples(Protocol):
    """Images to learn from, read when indexed (0 .. len - 1), so that they need not all be in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> TrainingSample: ...


class TrainableSegmenter(Segmenter):
    """A segmenter that learns from labels. Its field ``weights`` takes the path that ``train`` returned."""

    def train(self, samples: TrainingSamples, out: Path, seed: int, progress: TrainingProgress) -> Path:
        """Train, and return the file of weights inside the folder ``out``.

        Called again with the same ``out`` after a kill, it continues from its last checkpoint.

        Args:
            samples: images with labels.
            out: folder for checkpoints, curves and the result; made where it is missing.
            seed: of all random numbers.
        """
        raise NotImplementedError


class InstanceFilter(Algorithm):
    """Accepts or rejects instances by their shape."""

    def judge(self, shapes: Shapes) -> list[str | None]:
        """Return for each instance of one frame the reason to reject it, or None to accept it."""
        raise NotImplementedError

    def limits(self, shapes: Shapes) -> dict[str, float]:
        """Return the limits that ``judge`` compares these instances with, by name with unit; stored with the frame's run."""
        return {}


class SignalDetector(Algorithm):
    """Finds FISH signals (dots) of one probe channel inside nuclei."""

    def detect(self, plane: Array, nuclei: Sequence[Instance], pixel_size_um: float | None) -> Signals:
        """Return the candidate signals of a channel with their SNR; the assay decides which of them count.

        Args:
            plane: (Y, X) uint8 or uint16, read-only.
            nuclei: the frame's instances: where to find signals, and where to estimate background and noise.
            pixel_size_um: edge length of a pixel in µm, None where unknown.
        """
        raise NotImplementedError


class Reader(Algorithm):
    """Reads the images of a file format. A reader has no parameters: a file is read in one way.

    Attributes:
        suffixes: endings of the names of its files (or folders), in lower case with the dot: ``(".czi",)``.
        apart: its calls run in a process of its own, which is stopped where it hangs; cacapp's own readers need none.
    """

    suffixes: ClassVar[tuple[str, ...]]
    apart: ClassVar[bool] = True

    def claims(self, path: Path, start: bytes) -> bool:
        """Return whether this reader reads a file; asked only where the name ends in one of ``suffixes``.

        Args:
            start: the first 4096 bytes of the file, empty for a folder.
        """
        return True

    def scenes(self, path: Path) -> list[Scene]:
        """Return the images in a file or folder, at least one; no pixels are read before ``Scene.read`` is called.

        Raises:
            CacappError: the file cannot be read: one line with the reason and the way out, without the file's name.
        """
        raise NotImplementedError

    def examples(self, folder: Path) -> list[Path]:
        """Write small files of the format into a folder, for ``cacapp plugins check``, and return them; none where it cannot write any."""
        return []


def um(pixel_size_um: float | None, default_um: float) -> float:
    """Return the known pixel size, else ``default_um`` (both µm)."""
    return pixel_size_um if pixel_size_um else default_um


Fraction = Annotated[float, Field(ge=0, le=1)]
