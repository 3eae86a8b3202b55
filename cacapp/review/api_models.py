"""What the API answers. Positions in px of the frame, (0, 0) the centre of its top left pixel; times in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from cacapp.fish.patient import PatientOutcome
from cacapp.fish.review import State

Item = TypeVar("Item")


class Problem(BaseModel):
    """Why a request was refused, in one line."""

    detail: str


class Page(BaseModel, Generic[Item]):
    """Some of many; ``next`` is the ``start`` of the following page, null at the end."""

    items: list[Item]
    total: int
    next: int | None


class CellState(BaseModel):
    """A cell as the software called it, or as it stands after review."""

    model_config = ConfigDict(populate_by_name=True)
    class_: str | None = Field(serialization_alias="class")
    subtype: str | None
    is_cac: bool
    evaluable: bool
    exclusion_reason: str | None
    needs_review: bool
    decided: bool
    counts: dict[str, int]

    @classmethod
    def of(cls, state: State) -> CellState:
        """From the domain's value."""
        return cls(
            class_=state.class_,
            subtype=state.subtype,
            is_cac=state.is_cac,
            evaluable=state.evaluable,
            exclusion_reason=state.exclusion_reason,
            needs_review=state.needs_review,
            decided=state.decided,
            counts=dict(state.counts),
        )


class Numbers(BaseModel):
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

    @classmethod
    def of(cls, result: PatientOutcome) -> Numbers:
        """From the domain's value."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields})


class Signature(BaseModel):
    """Who signed a result, and what it was. ``open_again``: an amendment came after it."""

    signer: str
    signed_at: datetime
    sha256: str
    open_again: bool
    record: dict[str, Any]


class PatientOut(BaseModel):
    """A patient with the automatic and the reviewed result; null where nothing is counted."""

    id: int
    code: str
    state: str
    slides: list[int]
    automatic: Numbers | None
    reviewed: Numbers | None
    cells_decided: int
    cells_open: int
    signature: Signature | None


class SlideOut(BaseModel):
    """A slide. ``qc``: pass, warn, fail, or null; ``flagged`` cells need a person's look, ``open`` of them have not had it."""

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
    automatic: CellState
    reviewed: CellState
    decided_by: str | None
    count_run: int


class SignalOut(BaseModel):
    """A dot. ``source``: auto, or added by a person; ``counts``: as it stands; ``reason``: why the software did not count it."""

    channel: str
    source: str
    number: int
    y_px: float
    x_px: float
    snr: float | None
    counts: bool
    reason: str | None


class ReviewOut(BaseModel):
    """A decision as it was recorded. ``before`` and ``after``: the whole state."""

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
    """A cell with its dots and its record. ``seen``: what a decision has to send along."""

    signals: list[SignalOut]
    reviews: list[ReviewOut]
    seen: int
    duplicate_of: int | None


class Written(BaseModel):
    """What a decision made of the cell. ``repeated``: the same key was there already, nothing was written."""

    review: ReviewOut
    reviewed: CellState
    repeated: bool
