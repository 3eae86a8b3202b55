"""What the pages show, already looked up: frozen values that a step fills from the database and the frames."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cacapp.fish.control import ErrorBudget
from cacapp.report.contrast import ContrastLimits

MAX_CELL_PICTURES = 60
"""Flagged cells that get pictures (about 35 kB each)."""

MAX_FRAME_PICTURES = 12
"""Frames that get an overview (about 150 kB each)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded image.

    Attributes:
        media_type: "image/png", "image/jpeg" or "image/webp".
        data: the file's bytes.
        width_px, height_px: its size.
    """

    media_type: str
    data: bytes = field(repr=False)
    width_px: int
    height_px: int

    @property
    def data_uri(self) -> str:
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"


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
    """What the verdict was held against.

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
        blood_volume_ul: what all slides stand for, in µL; None where a slide's volume is unknown.
        cacs_per_100ul, cacs_per_100ul_low, cacs_per_100ul_high: rate and its exact Poisson interval; None without a volume.
        needs_review: cells that wait for a person's look.
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
class FailedFrame:
    """A frame that gave no cells, and the error that says why."""

    slide: str
    frame: str
    error: str


@dataclass(frozen=True, slots=True)
class PatternCount:
    """Evaluable cells that share one signal pattern, e.g. "2-2-3-2" in the order of ``Criteria.probes``."""

    pattern: str
    cells: int
    class_name: str | None = None


@dataclass(frozen=True, slots=True)
class FlaggedCell:
    """A CAC candidate, or a cell that needs a person's look.

    Attributes:
        cell_id: its database id; (slide, frame, label) say where it lies.
        y_px, x_px: its centre in the frame.
        class_name, subtype: the call; None where there is none.
        counts: signals by probe channel.
        margin: SNR by which the dots would have to change to turn a CAC into no CAC or back; None where no small change does.
        pictures: "composite" and the channels, in the order they are shown; empty where the cell is listed only.
        reviewed: who decided on it and what it was before, in words; None where nobody has.
    """

    cell_id: int
    slide: str
    frame: str
    label: int
    y_px: float
    x_px: float
    class_name: str | None
    subtype: str | None
    is_cac: bool
    counts: Mapping[str, int]
    needs_review: bool
    review_reason: str | None = None
    margin: float | None = None
    area_um2: float | None = None
    pictures: Mapping[str, Picture] = field(default_factory=dict, repr=False)
    reviewed: str | None = None

    @property
    def pattern(self) -> str:
        return "-".join(str(n) for n in self.counts.values())


@dataclass(frozen=True, slots=True)
class FrameOverview:
    """A frame with its outlines; ``picture`` is None where it is listed only."""

    slide: str
    frame: str
    cells: int
    evaluable: int
    cacs: int
    picture: Picture | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AlgorithmUse:
    """A plugin as it was used: its kind (prompter, segmenter ...), where it comes from and all its parameters."""

    kind: str
    name: str
    distribution: str
    version: str
    params: Mapping[str, object] = field(default_factory=dict)
    weights_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RunProvenance:
    """A run that the numbers rest on."""

    run_id: int
    step: str
    slide: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    app_version: str
    device: str
    seed: int
    fingerprint: str
    algorithms: tuple[AlgorithmUse, ...] = ()
    params: Mapping[str, object] = field(default_factory=dict)
    assay: str | None = None


@dataclass(frozen=True, slots=True)
class SourceFile:
    """An image file that was read, with the SHA-256 it had at ingest."""

    slide: str
    name: str
    uri: str
    sha256: str


@dataclass(frozen=True, slots=True)
class QualityRow:
    """A channel's measures in the order of ``SlideQuality.measures``, None where there is none; channel "slide" is the slide as a whole."""

    channel: str
    values: tuple[float | None, ...]
    verdict: str


@dataclass(frozen=True, slots=True)
class SlideQuality:
    """A slide's quality: "pass", "warn" or "fail", what is wrong in words, and the measures behind it."""

    slide: str
    verdict: str
    problems: tuple[str, ...]
    measures: tuple[str, ...]
    rows: tuple[QualityRow, ...]


@dataclass(frozen=True, slots=True)
class ReadingLine:
    """Who read a slide, in which position ("first", "second", "adjudication")."""

    slide: str
    position: str
    reader: str


@dataclass(frozen=True, slots=True)
class AgreementLine:
    """How two readings of a slide agree: cells compared, those with the same label, Cohen's kappa (None where not defined), open ones."""

    slide: str
    cells: int
    same: int
    kappa: float | None
    open: int


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """A signature. ``sha256``: of all that was signed; ``reopened``: the amendment's reason, None while it holds."""

    signer: str
    signed_at: datetime
    software: str
    sha256: str
    comment: str | None = None
    reopened: str | None = None
    reopened_by: str | None = None
    of_this_result: bool = True


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """What people made of the software's calls.

    Attributes:
        verdict, result: the software's, before review; the report's own are those after it.
        decided, changed, open: cells a person decided, those whose class is another now, flagged ones nobody decided.
        signatures: oldest first.
    """

    verdict: str
    result: ResultNumbers
    decided: int
    changed: int
    open: int
    readings: tuple[ReadingLine, ...] = ()
    agreement: tuple[AgreementLine, ...] = ()
    signatures: tuple[SignatureLine, ...] = ()

    @property
    def signed(self) -> SignatureLine | None:
        """The signature that holds for this result, if one does."""
        last = self.signatures[-1] if self.signatures else None
        return last if last is not None and last.reopened is None and last.of_this_result else None


@dataclass(frozen=True, slots=True)
class PatientReport:
    """All that one patient's page shows.

    Attributes:
        verdict, verdict_without_polyploid: each one of the words in ``criteria.verdicts``.
        flagged: CAC candidates and cells to review, in any order; the page sorts them.
        budget: false CACs to expect, from healthy donors' slides; None where there are none that were counted alike.
        controls_left_out: registered controls that were counted otherwise, or not yet.
        quality: of the slides, by barcode; none where they were counted before it was measured.
        contrast: the grey-value limits of the pictures, one entry for each scope (a slide or a frame).
        review: who decided what, beside the software's own result; None where nobody has looked yet. With it, all other numbers are
            those after review.
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
    review: ReviewSummary | None = None


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A patient's line on the index page; ``href`` is the report's file name relative to the index, not yet quoted; ``review`` as in the
    report."""

    patient_code: str
    href: str
    verdict: str
    result: ResultNumbers
    verdicts: VerdictWords = field(default_factory=VerdictWords)
    review: ReviewSummary | None = None


def by_urgency(cells: Sequence[FlaggedCell]) -> list[FlaggedCell]:
    """Flagged cells as a reader meets them: CAC candidates first, least certain (smallest margin) first within each group.

    The first ``MAX_CELL_PICTURES`` of them are the ones to draw.
    """

    def key(cell: FlaggedCell) -> tuple[bool, float, str, str, int]:
        return (not cell.is_cac, float("inf") if cell.margin is None else cell.margin, cell.slide, cell.frame, cell.label)

    return sorted(cells, key=key)
