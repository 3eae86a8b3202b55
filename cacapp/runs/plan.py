"""What a command asks for: slides to ingest, and the plan of each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cacapp import defaults
from cacapp.fish.assay.model import Assay
from cacapp.runs.choose import Records


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """The algorithms of a segmentation and their parameters by algorithm name; ``recorded``: as an earlier run kept them, to repeat it."""

    prompter: str = defaults.PROMPTER
    segmenter: str = defaults.SEGMENTER
    filters: Sequence[str] = defaults.FILTERS
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seed: int = 0
    recorded: Records = ()


@dataclass(frozen=True, slots=True)
class CountPlan:
    """Detector, its parameters, and the assay; ``min_evaluable_cells`` replaces the assay's for slides smaller than a laboratory's.

    ``recorded``: the detector as an earlier run kept it, to repeat it.
    """

    assay: Assay
    detector: str = defaults.DETECTOR
    params: Mapping[str, Any] = field(default_factory=dict)
    min_evaluable_cells: int | None = None
    recorded: Records = ()


PROMPTERS = ("watershed", "region-growing", "split-merge")


@dataclass(frozen=True, slots=True)
class PseudoLabelPlan:
    """What decides whether a mask becomes a label.

    Attributes:
        filters: names; one reason of any of them rejects a mask.
        prompters: prompt algorithms whose agreement on each nucleus is recorded; none of them is run where there are none.
        min_agreement: masks that fewer prompt algorithms agree on are rejected.
        params: parameters by algorithm name.
        recorded: algorithms as an earlier run kept them, to repeat it.
    """

    filters: Sequence[str] = defaults.FILTERS
    prompters: Sequence[str] = PROMPTERS
    min_agreement: int = 0
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recorded: Records = ()


@dataclass(frozen=True, slots=True)
class SlideRequest:
    """A slide to ingest.

    Attributes:
        patient, slide: pseudonym and barcode.
        paths: files or folders of its frames, absolute paths or addresses (``s3://bucket/slide``).
        blood_volume_ul: what the slide stands for in µL, None where unknown.
        pattern, channels, projection: how to read the files, as ``cacapp.frames.discover`` takes them.
    """

    patient: str
    slide: str
    paths: tuple[str, ...]
    blood_volume_ul: float | None
    notes: str | None = None
    pattern: str | None = None
    channels: str | None = None
    projection: str = "none"


MIN_EVALUABLE = "min_evaluable_cells"
"""Key in a count run's params: the limit that the result as of this run was held against, where it is not the assay's."""
