"""The plan of each step: the algorithms and their parameters, the assay, the slides to ingest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cacapp import defaults
from cacapp.exceptions import UsageError
from cacapp.fish.assay.model import Assay
from cacapp.host import Host, assign
from cacapp.runs.choice import StoredChoices

Parameters = Mapping[str, Mapping[str, Any]]
"""Parameters by algorithm name: ``{"sam": {"model": "vit_b"}}``."""


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """The algorithms of a segmentation and their parameters; ``recorded``: the algorithms as an earlier run stored them, to repeat it."""

    prompter: str = defaults.PROMPTER
    segmenter: str = defaults.SEGMENTER
    filters: Sequence[str] = defaults.FILTERS
    params: Parameters = field(default_factory=dict)
    seed: int = 0
    recorded: StoredChoices = ()

    def algorithms(self) -> list[tuple[str, str]]:
        """Return (kind, name) of each algorithm."""
        return [("prompter", self.prompter), ("segmenter", self.segmenter), *(("filter", name) for name in self.filters)]

    def with_parameters(self, parameters: Parameters) -> SegmentPlan:
        """Return the plan with the parameters of its own algorithms."""
        return replace(self, params={name: parameters.get(name, {}) for _, name in self.algorithms()})


@dataclass(frozen=True, slots=True)
class CountPlan:
    """The detector, its parameters and the assay; ``min_evaluable_cells`` replaces the assay's for small slides.

    ``recorded``: the detector as an earlier run stored it, to repeat it.
    """

    assay: Assay
    detector: str = defaults.DETECTOR
    params: Mapping[str, Any] = field(default_factory=dict)
    min_evaluable_cells: int | None = None
    recorded: StoredChoices = ()

    def algorithms(self) -> list[tuple[str, str]]:
        """Return (kind, name) of the detector."""
        return [("signal-detector", self.detector)]

    def with_parameters(self, parameters: Parameters) -> CountPlan:
        """Return the plan with the detector's parameters."""
        return replace(self, params=parameters.get(self.detector, {}))


PROMPTERS = ("watershed", "region-growing", "split-merge")


@dataclass(frozen=True, slots=True)
class PseudoLabelPlan:
    """How masks are judged: which of them become labels.

    Attributes:
        filters: names; a mask that one of them gives a reason against is rejected.
        prompters: prompt algorithms whose agreement on each nucleus is recorded; may be empty.
        min_agreement: masks that fewer prompt algorithms agree on are rejected.
        params: parameters by algorithm name.
        recorded: algorithms as an earlier run stored them, to repeat it.
    """

    filters: Sequence[str] = defaults.FILTERS
    prompters: Sequence[str] = PROMPTERS
    min_agreement: int = 0
    params: Parameters = field(default_factory=dict)
    recorded: StoredChoices = ()

    def algorithms(self) -> list[tuple[str, str]]:
        """Return (kind, name) of each algorithm."""
        return [*(("filter", name) for name in self.filters), *(("prompter", name) for name in self.prompters)]

    def with_parameters(self, parameters: Parameters) -> PseudoLabelPlan:
        """Return the plan with the parameters of its own algorithms."""
        return replace(self, params={name: parameters.get(name, {}) for _, name in self.algorithms()})


@dataclass(frozen=True, slots=True)
class SlideRequest:
    """A slide to ingest.

    Attributes:
        patient, slide: pseudonym and barcode.
        paths: files or folders of its frames, absolute paths or addresses (``s3://bucket/slide``).
        blood_volume_ul: volume of blood from which the slide was made, µL; None where unknown.
        pattern, channels, projection, pixel_size_um: how to read the files, as ``cacapp.frames.discover`` takes them.
        same_pixels: why frames may have the pixels of another patient's frames; None: they may not.
    """

    patient: str
    slide: str
    paths: tuple[str, ...]
    blood_volume_ul: float | None
    notes: str | None = None
    pattern: str | None = None
    channels: str | None = None
    projection: str = "none"
    pixel_size_um: float | None = None
    same_pixels: str | None = None


MIN_EVALUABLE = "min_evaluable_cells"
"""Key in a count run's params: the limit that the patient's result was compared with, where it is not the assay's."""


def parameters_by_algorithm(host: Host, algorithms: Sequence[tuple[str, str]], settings: Sequence[str] | Parameters) -> Parameters:
    """Return the parameters of the chosen algorithms, after building each algorithm with them once.

    Args:
        algorithms: (kind, name) of each chosen algorithm.
        settings: texts such as "floor=0.9", as ``--set`` takes them, or a mapping by algorithm name.

    Raises:
        UsageError: an unknown algorithm or parameter, a value out of range, or parameters of an algorithm that is not chosen.
    """
    found = [host.find(kind, name) for kind, name in algorithms]
    if isinstance(settings, Mapping):
        names = list(dict.fromkeys(name for _, name in algorithms))
        if unknown := next((name for name in settings if name not in names), None):
            raise UsageError(f"parameters of {unknown!r}: no algorithm of that name is chosen; chosen are {', '.join(names)}")
        parameters: Parameters = {name: dict(settings.get(name, {})) for name in names}
    else:
        parameters = assign(settings, found)
    for kind, name in algorithms:
        host.build(kind, name, parameters[name])
    return parameters
