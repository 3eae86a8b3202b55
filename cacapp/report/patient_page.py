"""The values of a patient's page and of the index page, which a step reads from the database and the frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cacapp.fish.control import ErrorBudget
from cacapp.report.contrast import ContrastLimits
from cacapp.report.pictured import FlaggedCell, FrameOverview
from cacapp.report.provenance import FailedFrame, RunProvenance, SourceFile
from cacapp.report.quality import SlideGeometry, SlideQuality
from cacapp.report.result import Criteria, PatternCount, ResultNumbers, SlideSummary, VerdictWords
from cacapp.report.review import ReviewSummary


@dataclass(frozen=True, slots=True)
class OtherAssay:
    """A result of the same patient by another assay. ``href``: its page relative to this one, not yet quoted; None where there is none."""

    name: str
    version: str
    href: str | None = None


@dataclass(frozen=True, slots=True)
class PatientReport:
    """The values of one patient's page.

    Attributes:
        verdict, verdict_without_polyploid: each one of the words in ``criteria.verdicts``.
        flagged: CAC candidates and cells to review, in any order; the page sorts them.
        budget: false CACs to expect, from healthy donors' slides; None where there are none that were counted alike.
        controls_left_out: registered controls that were counted otherwise, or not yet.
        quality: of the slides, by barcode; none where they were counted before it was measured.
        geometry: of the slides' frames: pixel sizes, overlap, equal pixels.
        contrast: the grey-value limits of the pictures, one entry for each scope (a slide or a frame).
        review: who decided what, beside the software's own result; None where nobody has looked yet. With it, all other numbers are
            those after review.
        others: the patient's results by other assays, the newest first.
    """

    patient_code: str
    created_at: datetime
    app_version: str
    verdict: str
    verdict_without_polyploid: str
    criteria: Criteria
    result: ResultNumbers
    slides: tuple[SlideSummary, ...]
    patterns: tuple[PatternCount, ...] = ()
    flagged: tuple[FlaggedCell, ...] = ()
    frames: tuple[FrameOverview, ...] = ()
    failed_frames: tuple[FailedFrame, ...] = ()
    contrast: tuple[ContrastLimits, ...] = ()
    provenance: tuple[RunProvenance, ...] = ()
    files: tuple[SourceFile, ...] = ()
    budget: ErrorBudget | None = None
    controls_left_out: int = 0
    quality: tuple[SlideQuality, ...] = ()
    geometry: tuple[SlideGeometry, ...] = ()
    review: ReviewSummary | None = None
    others: tuple[OtherAssay, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A line on the index page: a patient's result by one assay, "name version".

    ``href`` is the report's file name relative to the index, not yet quoted; ``review`` as in the report.
    """

    patient_code: str
    href: str
    assay: str
    verdict: str
    result: ResultNumbers
    verdicts: VerdictWords = field(default_factory=VerdictWords)
    review: ReviewSummary | None = None
