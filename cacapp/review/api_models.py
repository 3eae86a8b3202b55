"""JSON objects of the API. Positions in px of the frame, (0, 0) the centre of its top left pixel; times in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from cacapp.review.context import SlideView
from cacapp.review.shown_cell import ShownCell

Item = TypeVar("Item")


class Problem(BaseModel):
    """The reason of a refusal, in one line."""

    detail: str


class Page(BaseModel, Generic[Item]):
    """A part of a list; ``next`` is the ``start`` of the following page, null at the end."""

    items: list[Item]
    total: int
    next: int | None


class FromAttributes(BaseModel):
    """An object that is read from the attributes of one of the application's own values."""

    model_config = ConfigDict(from_attributes=True)


class CellState(FromAttributes):
    """The call of a cell, by the software or after review."""

    class_: str | None = Field(serialization_alias="class")
    subtype: str | None
    is_cac: bool
    evaluable: bool
    exclusion_reason: str | None
    needs_review: bool
    decided: bool
    counts: dict[str, int]


class Numbers(FromAttributes):
    """A patient's result. Rates in CACs per 100 µL of blood with the exact Poisson interval; null without a volume."""

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
    verdict: str
    verdict_without_polyploid: str


class Signature(BaseModel):
    """A signature with the result that was signed. ``open_again``: an amendment came after it.

    ``sha256`` and ``record`` are null for the blind reader of one of the patient's slides.
    """

    signer: str
    signed_at: datetime
    sha256: str | None
    open_again: bool
    record: dict[str, Any] | None


class PatientOut(BaseModel):
    """A patient with the newest result, and the assay of its count; null without a count.

    ``reviewed``: the numbers after review; null if nobody has reviewed.
    """

    id: int
    code: str
    state: str
    slides: list[int]
    assay_name: str | None
    assay_version: str | None
    automatic: Numbers | None
    reviewed: Numbers | None
    cells_decided: int
    cells_open: int
    signature: Signature | None


class SlideOut(BaseModel):
    """A slide. ``qc``: pass, warn, fail, or null; ``flagged``: cells that need review; ``open``: those without a decision."""

    id: int
    barcode: str
    patient: str
    patient_id: int
    blood_volume_ul: float | None
    state: str
    qc: str | None
    count_run: int | None
    flagged: int
    open: int


class CellOut(BaseModel):
    """A cell of a slide's latest count."""

    id: int
    slide_id: int
    frame_id: int
    label: int
    y_px: float
    x_px: float
    area_px: int
    bbox_xywh: tuple[int, int, int, int]
    margin: float | None
    p_cac: float | None
    p_terms: str | None
    automatic: CellState
    reviewed: CellState
    decided_by: str | None
    count_run: int

    @classmethod
    def of(cls, cell: ShownCell, view: SlideView) -> CellOut:
        """Return the JSON object of a cell of this view."""
        place = cell.place
        return CellOut(
            id=place.cell_id,
            slide_id=view.slide.id,
            frame_id=place.frame_id,
            label=place.label,
            y_px=place.y_px,
            x_px=place.x_px,
            area_px=place.area_px,
            bbox_xywh=place.bbox_xywh,
            margin=cell.margin,
            p_cac=cell.p_cac,
            p_terms=cell.p_terms,
            automatic=CellState.model_validate(cell.machine),
            reviewed=CellState.model_validate(cell.state),
            decided_by=cell.decided_by,
            count_run=view.index.run.id,
        )


class SignalOut(FromAttributes):
    """A signal. ``source``: auto or added; ``counts``: after review; ``reason``: why the software did not count it."""

    channel: str
    source: str
    number: int
    y_px: float
    x_px: float
    snr: float | None
    counts: bool
    reason: str | None


class ReviewOut(FromAttributes):
    """A decision. ``before`` and ``after``: the cell's state before and after it."""

    id: int
    cell_id: int
    run_id: int | None
    position: str
    kind: str
    reviewer: str
    created_at: datetime
    before: dict[str, Any]
    after: dict[str, Any]
    reason: str | None
    undoes: int | None


class CellDetail(CellOut):
    """A cell with its signals and decisions. ``seen``: number of its newest decision, which a new one has to repeat."""

    signals: list[SignalOut]
    reviews: list[ReviewOut]
    seen: int
    duplicate_of: int | None


class Written(BaseModel):
    """A decision and the cell's state after it. ``repeated``: the key was used before; nothing was written."""

    review: ReviewOut
    reviewed: CellState
    repeated: bool
