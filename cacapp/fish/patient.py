"""A patient's result: cells and CACs of all slides together, CACs per 100 µL with an exact interval, and the verdict.

Research use only: a verdict says what the counts are consistent with under the assay's criteria; it is no diagnosis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, isclose, isfinite

from scipy.special import gammaincinv

from cacapp.exceptions import UsageError
from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.ratio import RatioResult, ratio_result
from cacapp.fish.calls import UNCERTAIN

UNKNOWN = "unknown"
"""The class or exclusion reason of a cell that was stored without one."""


@dataclass(frozen=True, slots=True)
class CallGroup:
    """Cells with the same call; ``cells``: how many there are."""

    class_: str | None
    subtype: str | None
    is_cac: bool
    evaluable: bool
    exclusion_reason: str | None
    needs_review: bool
    cells: int


@dataclass(frozen=True, slots=True)
class SlideTally:
    """What one slide adds to its patient's result.

    Attributes:
        classes: evaluable cells by class.
        exclusions: cells that are not evaluable, by reason.
        needs_review: evaluable cells a person has to look at.
        cacs: evaluable cells that are CACs.
        cacs_left_out: CACs of the subtypes that the assay leaves out of the second count (``patient.without_subtypes``).
        blood_volume_ul: volume of blood from which the slide was made, µL; None where unknown.
        signals: counted signals of the evaluable cells by channel; a ratio assay needs them.
    """

    classes: Mapping[str, int]
    exclusions: Mapping[str, int]
    needs_review: int
    cacs: int
    cacs_left_out: int
    blood_volume_ul: float | None
    signals: Mapping[str, int] = field(default_factory=dict)

    @property
    def evaluable(self) -> int:
        return sum(self.classes.values())

    @property
    def cells(self) -> int:
        return self.evaluable + sum(self.exclusions.values())


@dataclass(frozen=True, slots=True)
class PatientOutcome:
    """The result of a patient over all slides.

    Attributes:
        cells, evaluable: nuclei found, and those that are counted.
        classes: evaluable cells by class; every class of the assay and "uncertain" are there, zeros too.
        exclusions: cells that are not evaluable, by reason.
        needs_review: evaluable cells a person has to look at.
        cacs, cacs_balanced_polyploid: all CACs, and those of the subtypes that the assay leaves out of the second count.
        blood_volume_ul: sum over the slides; None if one is unknown.
        cacs_per_100ul, cacs_per_100ul_low, cacs_per_100ul_high: rate and its exact Poisson interval; None without the volume.
        cacs_per_100ul_without_polyploid: the rate without those left out.
        verdict, verdict_without_polyploid: the assay's words.
        min_evaluable_cells: the limit that was used.
        ratio: what a ratio assay found; None for other assays.
    """

    cells: int
    evaluable: int
    classes: dict[str, int]
    exclusions: dict[str, int]
    needs_review: int
    cacs: int
    cacs_balanced_polyploid: int
    blood_volume_ul: float | None
    cacs_per_100ul: float | None
    cacs_per_100ul_low: float | None
    cacs_per_100ul_high: float | None
    cacs_per_100ul_without_polyploid: float | None
    verdict: str
    verdict_without_polyploid: str
    min_evaluable_cells: int
    ratio: RatioResult | None = None


def tally(
    groups: Iterable[CallGroup], assay: Assay, blood_volume_ul: float | None = None, signals: Mapping[str, int] | None = None
) -> SlideTally:
    """Add up the calls of one slide, or of several, by the assay's rules.

    Args:
        groups: equal calls with their number of cells; a group may come more than once.
        blood_volume_ul: volume of blood from which the slide was made, µL; None where unknown.
        signals: counted signals of the evaluable cells by channel, for a ratio assay.
    """
    classes, exclusions = Counter[str](), Counter[str]()
    needs_review = cacs = left_out = 0
    for group in groups:
        if not group.evaluable:
            exclusions[group.exclusion_reason or UNKNOWN] += group.cells
            continue
        classes[group.class_ or UNKNOWN] += group.cells
        needs_review += group.needs_review * group.cells
        cacs += group.is_cac * group.cells
        left_out += (group.is_cac and group.subtype in assay.patient.without_subtypes) * group.cells
    return SlideTally(
        dict(sorted(classes.items())), dict(sorted(exclusions.items())), needs_review, cacs, left_out, blood_volume_ul, signals or {}
    )


def patient_result(slides: Sequence[SlideTally], assay: Assay, *, min_evaluable_cells: int | None = None) -> PatientOutcome:
    """Return the result of a patient from the tallies of all slides, which add up.

    The verdict, in this order: fewer evaluable cells than the minimum is "insufficient", whatever else is known, for a known volume
    would not change that; a ratio assay's verdict is that of its outcome, "undetermined" without a ratio; an unknown volume of any slide is
    "undetermined", counts only; else CACs per 100 µL at or above the threshold is "increased", below it "not increased".

    Args:
        slides: the patient's slides; without any, the result is that of no cells.
        min_evaluable_cells: used instead of the assay's, for slides smaller than a laboratory's.

    Raises:
        UsageError: a blood volume that is not a positive number, or a minimum below 1.
    """
    criteria = assay.patient
    minimum = criteria.min_evaluable_cells if min_evaluable_cells is None else min_evaluable_cells
    if minimum < 1:
        raise UsageError(f"min_evaluable_cells is {minimum}; give 1 or more")
    volume_ul = _total_volume_ul(slides)
    classes, exclusions = Counter(dict.fromkeys((*assay.class_names, UNCERTAIN), 0)), Counter[str]()
    for slide in slides:
        classes.update(slide.classes)
        exclusions.update(slide.exclusions)
    evaluable = sum(s.evaluable for s in slides)
    cacs, left_out = sum(s.cacs for s in slides), sum(s.cacs_left_out for s in slides)
    low, high = poisson_interval(cacs, criteria.confidence)
    ratio = None
    if assay.ratio is not None:
        signals = Counter[str]()
        for slide in slides:
            signals.update(slide.signals)
        ratio = ratio_result(assay.ratio, signals, evaluable)
    return PatientOutcome(
        cells=sum(s.cells for s in slides),
        evaluable=evaluable,
        classes=dict(classes),
        exclusions=dict(exclusions),
        needs_review=sum(s.needs_review for s in slides),
        cacs=cacs,
        cacs_balanced_polyploid=left_out,
        blood_volume_ul=volume_ul,
        cacs_per_100ul=_per_100ul(cacs, volume_ul),
        cacs_per_100ul_low=_per_100ul(low, volume_ul),
        cacs_per_100ul_high=_per_100ul(high, volume_ul),
        cacs_per_100ul_without_polyploid=_per_100ul(cacs - left_out, volume_ul),
        verdict=_verdict(cacs, evaluable, minimum, volume_ul, ratio, assay),
        verdict_without_polyploid=_verdict(cacs - left_out, evaluable, minimum, volume_ul, ratio, assay),
        min_evaluable_cells=minimum,
        ratio=ratio,
    )


def poisson_interval(k: int, confidence: float) -> tuple[float, float]:
    """Return the exact (Garwood 1936) interval of a Poisson mean of which ``k`` events were seen.

    low = χ²(α/2; 2k) / 2 and high = χ²(1 − α/2; 2k + 2) / 2 with α = 1 − confidence, where χ²(p; 2a) / 2 is the inverse of the
    regularised incomplete gamma function of shape a.

    >>> low, high = poisson_interval(3, 0.95)
    >>> round(low, 3), round(high, 3)
    (0.619, 8.767)
    """
    tail = (1 - confidence) / 2
    return (float(gammaincinv(k, tail)) if k > 0 else 0.0), float(gammaincinv(k + 1, 1 - tail))


def _total_volume_ul(slides: Sequence[SlideTally]) -> float | None:
    volumes_ul = [s.blood_volume_ul for s in slides]
    known_ul = [v for v in volumes_ul if v is not None]
    for volume_ul in known_ul:
        if not (isfinite(volume_ul) and volume_ul > 0):
            raise UsageError(f"blood volume of a slide is {volume_ul:g} µL; give a positive number, or none where it is unknown")
    return fsum(known_ul) if volumes_ul and len(known_ul) == len(volumes_ul) else None


def _per_100ul(n: float, volume_ul: float | None) -> float | None:
    return None if volume_ul is None else n * 100 / volume_ul


def _verdict(cacs: int, evaluable: int, minimum: int, volume_ul: float | None, ratio: RatioResult | None, assay: Assay) -> str:
    words = assay.patient.verdicts
    if evaluable < minimum:
        return words.insufficient
    rate, limit = _per_100ul(cacs, volume_ul), assay.patient.threshold_per_100ul
    if ratio is not None:
        found: str | None = None if ratio.verdict is None else getattr(words, ratio.verdict)
        return found or words.undetermined
    if rate is None or limit is None:
        return words.undetermined
    # A rate that is below the limit only by rounding has reached it.
    return words.increased if rate >= limit or isclose(rate, limit, rel_tol=1e-9) else words.not_increased
