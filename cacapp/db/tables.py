"""The tables. Every number of a report is a row of a table, or a sum over rows, with the run that made it.

Those of cells are in ``cacapp.db.cells.tables``, those of the review in ``cacapp.db.review.tables``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    Index,
    SmallInteger,
    UniqueConstraint,
)
from sqlmodel import Field

from cacapp.db.cells.tables import NOT_NORMAL as NOT_NORMAL
from cacapp.db.cells.tables import Cell as Cell
from cacapp.db.cells.tables import CellCall as CellCall
from cacapp.db.cells.tables import ContestedSignal as ContestedSignal
from cacapp.db.cells.tables import Duplicate as Duplicate
from cacapp.db.cells.tables import PseudoLabel as PseudoLabel
from cacapp.db.cells.tables import SignalCount as SignalCount
from cacapp.db.cells.tables import SignalRow as SignalRow
from cacapp.db.cells.tables import StraySignal as StraySignal
from cacapp.db.cells.tables import Verdict as Verdict
from cacapp.db.engine.base import Table as Table
from cacapp.db.engine.base import now as now
from cacapp.db.engine.base import table_of as table_of
from cacapp.db.engine.columns import UtcDateTime
from cacapp.db.review import tables as _review_tables  # noqa: F401  registers the tables of the review in the same metadata


class Patient(Table, table=True):
    """A person under a pseudonym."""

    __tablename__ = "patient"
    id: int = Field(default=None, primary_key=True)
    code: str = Field(unique=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Slide(Table, table=True):
    """A slide of a patient, with the volume of blood from which it was made."""

    __tablename__ = "slide"
    __table_args__ = (CheckConstraint("blood_volume_ul IS NULL OR blood_volume_ul > 0", name="blood_volume_positive"),)
    id: int = Field(default=None, primary_key=True)
    patient_id: int = Field(foreign_key="patient.id", index=True)
    barcode: str = Field(unique=True)
    blood_volume_ul: float | None = None
    notes: str | None = None
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class FrameRow(Table, table=True):
    """A field of view of a slide, and how to open it again (see types.FrameSource)."""

    __tablename__ = "frame"
    __table_args__ = (UniqueConstraint("slide_id", "name"), UniqueConstraint("slide_id", "sha256", "scene"))
    id: int = Field(default=None, primary_key=True)
    slide_id: int = Field(foreign_key="slide.id")
    name: str
    uri: str
    sha256: str = Field(index=True)
    scene: str = ""
    projection: str = "none"
    height_px: int
    width_px: int
    dtype: str
    pixel_size_um: float | None = None
    stage_x_um: float | None = None
    stage_y_um: float | None = None
    focus: float | None = None
    pixel_size_source: str | None = Field(default=None, description="who stated the pixel size; None: the file")
    reader: str | None = Field(default=None, description="that read the file; None: one of cacapp's own, before it was recorded")
    reader_version: str | None = Field(default=None, description="its distribution and version")
    same_pixels: str | None = Field(default=None, description="who allowed pixels that another patient has too, and why")


class ChannelRow(Table, table=True):
    """A channel of a frame: canonical name, the name it was found under, and where its pixels are."""

    __tablename__ = "channel"
    frame_id: int = Field(foreign_key="frame.id", primary_key=True)
    index: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    name: str
    found_as: str
    uri: str
    source_index: int
    sha256: str
    exposure_ms: float | None = None
    pixels_sha256: str | None = Field(default=None, index=True, description="of the values' ranks, whatever the file")
    plane_sha256: str | None = Field(default=None, description="of the middle plane as a plugin's reader gave it at ingest")


class Request(Table, table=True):
    """A command with all its settings, which ``runs resume`` continues.

    ``digest`` is that of command and settings: the same command, given again, is the same request as long as it is open.
    """

    __tablename__ = "request"
    __table_args__ = (CheckConstraint("status IN ('open', 'done', 'failed', 'cancelled')", name="status"),)
    id: int = Field(default=None, primary_key=True)
    command: str
    settings: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    digest: str = Field(index=True)
    status: str = "open"
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Run(Table, table=True):
    """One step applied to one slide, with all that decided its result.

    ``owner`` is the process that works on it, ``beats`` grow as long as it lives (see ``cacapp.db.runs.lease``).
    """

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'succeeded', 'succeeded with failures', 'failed', 'cancelled')", name="status"),
        Index(None, "slide_id", "step"),
    )
    id: int = Field(default=None, primary_key=True)
    request_id: int | None = Field(default=None, foreign_key="request.id", index=True)
    step: str
    slide_id: int = Field(foreign_key="slide.id")
    source_run_id: int | None = Field(default=None, foreign_key="run.id")
    algorithms: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    params: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    weights_sha256: str | None = None
    assay_name: str | None = None
    assay_version: str | None = None
    assay_toml: str | None = None
    app_version: str
    device: str = "cpu"
    seed: int = 0
    status: str = "running"
    fingerprint: str = Field(index=True)
    started_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error: str | None = None
    owner: str | None = None
    beats: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class RunFrame(Table, table=True):
    """The state of each frame of a run: the ledger that resume reads."""

    __tablename__ = "run_frame"
    __table_args__ = (CheckConstraint("status IN ('pending', 'done', 'failed', 'quarantined')", name="status"),)
    run_id: int = Field(foreign_key="run.id", primary_key=True)
    frame_id: int = Field(foreign_key="frame.id", primary_key=True)
    status: str = "pending"
    attempts: int = 0
    error: str | None = None
    seconds: float | None = None
    details: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class SlideQuality(Table, table=True):
    """A measure of a slide's quality in a count run, with its verdict by the assay's limits. ``channel`` "" is the slide as a whole."""

    __tablename__ = "slide_quality"
    __table_args__ = (CheckConstraint("verdict IN ('pass', 'warn', 'fail')", name="verdict"),)
    run_id: int = Field(foreign_key="run.id", primary_key=True)
    channel: str = Field(primary_key=True)
    measure: str = Field(primary_key=True)
    value: float | None = None
    verdict: str
    reason: str | None = None


class ControlSlide(Table, table=True):
    """A slide of a healthy donor: an abnormal call on it is a false call."""

    __tablename__ = "control_slide"
    slide_id: int = Field(foreign_key="slide.id", primary_key=True)
    note: str | None = None
    added_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class PatientResult(Table, table=True):
    """The patient's result by one assay as of count run ``run_id``, over the latest count with that assay of each of the patient's slides.

    A later count with the same assay adds a row; the latest of (patient, assay name, assay version) is the one that is shown.
    """

    __tablename__ = "patient_result"
    __table_args__ = (Index(None, "patient_id", "assay_name", "assay_version"),)
    run_id: int = Field(foreign_key="run.id", primary_key=True)
    patient_id: int = Field(foreign_key="patient.id", primary_key=True)
    assay_name: str
    assay_version: str
    count_run_ids: list[int] = Field(default_factory=list, sa_type=JSON)
    cells: int
    evaluable: int
    classes: dict[str, int] = Field(default_factory=dict, sa_type=JSON)
    exclusions: dict[str, int] = Field(default_factory=dict, sa_type=JSON)
    needs_review: int
    cacs: int
    cacs_balanced_polyploid: int
    blood_volume_ul: float | None = None
    cacs_per_100ul: float | None = None
    cacs_per_100ul_low: float | None = None
    cacs_per_100ul_high: float | None = None
    verdict: str
    verdict_without_polyploid: str
    ratio: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    frames: int
    frames_failed: int
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)

    @property
    def assay(self) -> str:
        """Return name and version of the assay: "katz-4color 2"."""
        return f"{self.assay_name} {self.assay_version}"


class Model(Table, table=True):
    """Registered weights, with the run that they were trained on."""

    __tablename__ = "model"
    id: int = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    kind: str
    path: str
    sha256: str
    trained_from_run_id: int | None = Field(default=None, foreign_key="run.id")
    metrics: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
