"""A patient's numbers on a page, and the criteria of the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe of the assay: its channel, its locus as the assay file states it, and the copies a normal nucleus has."""

    channel: str
    locus: str
    expected_copies: int = 2
    min_snr: float | None = None


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """The assay's verdicts in its own words, as its file gives them."""

    increased: str = "increased risk (Katz)"
    not_increased: str = "not increased (Katz)"
    insufficient: str = "insufficient"
    undetermined: str = "undetermined"
    equivocal: str | None = None


@dataclass(frozen=True, slots=True)
class Criteria:
    """The criteria of the verdict.

    Attributes:
        assay_name, assay_version: of the assay definition stored with the run.
        probes: in the order of the signal patterns.
        class_rules: (class, its rule in words), as the assay file gives them.
        threshold_per_100ul: CACs per 100 µL of blood from which the verdict is "increased"; None for a ratio assay.
        min_evaluable_cells: fewer than these give the verdict "insufficient"; the number that was used.
        confidence: of the Poisson interval, in (0, 1).
        verdicts: the words for each verdict.
    """

    assay_name: str
    assay_version: str
    probes: tuple[Probe, ...]
    class_rules: tuple[tuple[str, str], ...]
    threshold_per_100ul: float | None
    min_evaluable_cells: int
    confidence: float = 0.95
    verdicts: VerdictWords = field(default_factory=VerdictWords)


@dataclass(frozen=True, slots=True)
class ResultNumbers:
    """The patient's numbers, as in the table patient_result.

    Attributes:
        cells: nuclei found; ``evaluable`` of them could be judged.
        classes: evaluable cells by class; a cell without a class is counted under "".
        exclusions: cells that were not evaluable, by reason.
        cacs: CACs, ``cacs_balanced_polyploid`` of which are balanced polyploid.
        blood_volume_ul: volume of blood from which all slides were made, µL; None where a slide's volume is unknown.
        cacs_per_100ul, cacs_per_100ul_low, cacs_per_100ul_high: rate and its exact Poisson interval; None without a volume.
        needs_review: cells that wait for review by a person.
        frames: frames of all slides, ``frames_failed`` of which gave no cells.
        ratio: what a ratio assay found, as ``cacapp.fish.assay.ratio.RatioResult`` names it; None for other assays.
    """

    cells: int
    evaluable: int
    classes: Mapping[str, int]
    exclusions: Mapping[str, int]
    cacs: int
    cacs_balanced_polyploid: int
    blood_volume_ul: float | None
    cacs_per_100ul: float | None
    cacs_per_100ul_low: float | None
    cacs_per_100ul_high: float | None
    needs_review: int
    frames: int
    frames_failed: int
    ratio: Mapping[str, Any] | None = None

    @property
    def cacs_without_polyploid(self) -> int:
        return self.cacs - self.cacs_balanced_polyploid


@dataclass(frozen=True, slots=True)
class SlideSummary:
    """A slide's share of the patient's numbers."""

    barcode: str
    blood_volume_ul: float | None
    frames: int
    frames_failed: int
    cells: int
    evaluable: int
    cacs: int


@dataclass(frozen=True, slots=True)
class PatternCount:
    """Evaluable cells that share one signal pattern, e.g. "2-2-3-2" in the order of ``Criteria.probes``."""

    pattern: str
    cells: int
    class_name: str | None = None
