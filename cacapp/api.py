"""The contracts of an algorithm: what a plugin author subclasses.

An algorithm is a small frozen pydantic model: its fields are its parameters, declared once with default, bounds, unit and
description. The command line (``--set name=value``), the database, the reports and ``cacapp plugins show NAME`` read them there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from cacapp.types import Array, Instance, Prompts, Shapes, Signals, TrainingSample

__all__ = [
    "API_VERSION",
    "Algorithm",
    "Array",
    "Field",
    "InstanceFilter",
    "Part",
    "Prompter",
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
    """Common ground of all kinds. Give ``name`` (unique within its kind, kebab-case) and ``api_version`` (a literal).

    Attributes:
        loads: modules that are imported only when it works, such as torch: a worker process loads them before its first frame.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    api_version: ClassVar[int]
    loads: ClassVar[tuple[str, ...]] = ()

    def weights_sha256(self) -> str | None:
        """Digest of the model weights behind the results, stored with every run; None for an algorithm without weights."""
        return None

    def parts(self) -> Sequence[tuple[str, str]]:
        """Other algorithms this one is made of: (kind, name) each. The host builds them, with their defaults, together with this one."""
        return ()

    def built_parts(self) -> tuple[Part, ...]:
        """What the host built of ``parts``, in their order; empty where it was not the host that built this algorithm."""
        parts: tuple[Part, ...] = self.__dict__.get(PARTS, ())
        return parts


class Prompter(Algorithm):
    """Proposes coarse regions and prompts for a promptable segmenter."""

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        """Prompts for the nuclei of a frame.

        Args:
            dapi: (Y, X) uint8 or uint16, read-only.
            pixel_size_um: edge length of a pixel in µm, None where unknown.
        """
        raise NotImplementedError


class Segmenter(Algorithm):
    """Turns prompts into one Instance a nucleus. ``needs_prompts`` False: called with empty prompts and no prompter is run."""

    needs_prompts: ClassVar[bool] = True

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        """Instances of a frame.

        Args:
            dapi: (Y, X) uint8 or uint16, read-only.
            prompts: what the prompter gave.
            pixel_size_um: edge length of a pixel in µm, None where unknown.
        """
        raise NotImplementedError


class TrainingProgress(Protocol):
    """Where a training reports to."""

    def start(self, what: str, total: int) -> None:
        """Work of ``total`` items begins."""

    def advance(self, note: str = "", by: int = 1) -> None:
        """``by`` items are done; ``note``: the loss and the time left, say."""

    def warn(self, line: str) -> None:
        """Something a person should know, in one line."""


class TrainingSamples(Protocol):
    """Images to learn from, read when indexed (0 .. len - 1): one that was used need not be kept in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> TrainingSample: ...


class TrainableSegmenter(Segmenter):
    """A segmenter that learns from labels. Its field ``weights`` takes the path that ``train`` returned."""

    def train(self, samples: TrainingSamples, out: Path, seed: int, progress: TrainingProgress) -> Path:
        """Trains, and returns the file of weights inside the folder ``out``.

        Called again with the same ``out`` after a kill, it goes on from its last checkpoint.

        Args:
            samples: images with labels.
            out: folder for checkpoints, curves and the result; made where it is missing.
            seed: of everything random.
        """
        raise NotImplementedError


class InstanceFilter(Algorithm):
    """Judges instances by their shape."""

    def judge(self, shapes: Shapes) -> list[str | None]:
        """For each instance of one frame the reason to reject it, or None to accept it."""
        raise NotImplementedError

    def limits(self, shapes: Shapes) -> dict[str, float]:
        """The bounds ``judge`` holds these instances against, by name with unit; stored with the frame's run."""
        return {}


class SignalDetector(Algorithm):
    """Finds FISH signals (dots) of one probe channel inside nuclei."""

    def detect(self, plane: Array, nuclei: Sequence[Instance], pixel_size_um: float | None) -> Signals:
        """Candidate signals of a channel, with SNR; the assay decides which of them count.

        Args:
            plane: (Y, X) uint8 or uint16, read-only.
            nuclei: the frame's instances: where to look, and where background and noise are estimated.
            pixel_size_um: edge length of a pixel in µm, None where unknown.
        """
        raise NotImplementedError


def um(pixel_size_um: float | None, default_um: float) -> float:
    """The pixel size to use: the known one, else ``default_um`` (both µm)."""
    return pixel_size_um if pixel_size_um else default_um


Fraction = Annotated[float, Field(ge=0, le=1)]
