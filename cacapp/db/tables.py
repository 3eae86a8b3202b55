"""The tables. Every number a report shows is a row here, or a sum over rows, with the run that made it.

Keys start with what rows are looked up and deleted by: a frame's signals, a cell's counts. The big tables have no rowid
in SQLite, so that a row is stored once, in key order (docs: https://www.sqlite.org/withoutrowid.html).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlmodel import Field

import cacapp.db.review.tables  # noqa: F401 - whoever reads the metadata, to copy or check a record, finds every table
from cacapp.db.engine.base import Table as Table
from cacapp.db.engine.base import now as now
from cacapp.db.engine.base import table_of as table_of
from cacapp.db.engine.columns import BigId, Scaled, UtcDateTime
from cacapp.db.review import tables as _review_tables  # noqa: F401  registers the tables of the review in the same metadata

NOT_NORMAL = "class <> 'normal'"


class Patient(Table, table=True):
    """A person under a pseudonym."""

    __tablename__ = "patient"
    id: int = Field(default=None, primary_key=True)
    code: str = Field(unique=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Slide(Table, table=True):
    """A slide of a patient, with the volume of blood that it stands for."""

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


class Cell(Table, table=True):
    """A segmented nucleus. ``mask`` is the compressed COCO RLE of the bbox crop; labels start at 1 in each (run, frame)."""

    __tablename__ = "cell"
    __table_args__ = (UniqueConstraint("frame_id", "run_id", "label"),)
    id: int = Field(default=None, sa_column=Column(BigId, primary_key=True))
    run_id: int = Field(foreign_key="run.id")
    frame_id: int = Field(foreign_key="frame.id")
    label: int
    bbox_x_px: int
    bbox_y_px: int
    bbox_w_px: int
    bbox_h_px: int
    centroid_y_px: float = Field(sa_type=Scaled(100))
    centroid_x_px: float = Field(sa_type=Scaled(100))
    area_px: int
    length_px: float = Field(sa_type=Scaled(100))
    width_px: float = Field(sa_type=Scaled(100))
    roundness: float = Field(sa_type=Scaled(10_000))
    solidity: float = Field(sa_type=Scaled(10_000))
    score: float = Field(sa_type=Scaled(10_000))
    focus: float | None = Field(default=None, sa_type=Scaled(10_000))
    mask: bytes = Field(sa_type=LargeBinary)
    evaluable: bool = True
    exclusion_reason: str | None = None


class Verdict(Table, table=True):
    """A filter's reason to reject a cell; a filter accepted all cells of its run without such a row."""

    __tablename__ = "verdict"
    __table_args__ = ({"sqlite_with_rowid": False},)
    cell_id: int = Field(sa_column=Column(BigId, ForeignKey("cell.id"), primary_key=True, autoincrement=False))
    filter: str = Field(primary_key=True)
    reason: str


class PseudoLabel(Table, table=True):
    """Whether a mask became a training label, every reason why not, and the prompt algorithms that found the same nucleus."""

    __tablename__ = "pseudo_label"
    __table_args__ = ({"sqlite_with_rowid": False},)
    cell_id: int = Field(sa_column=Column(BigId, ForeignKey("cell.id"), primary_key=True, autoincrement=False))
    run_id: int = Field(foreign_key="run.id", primary_key=True)
    accepted: bool
    reasons: list[str] = Field(default_factory=list, sa_type=JSON)
    agreement: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False, server_default="[]"))


class SignalRow(Table, table=True):
    """A dot of a probe channel in a cell; ``reason`` says why it does not count. ``number`` counts from 0 within (cell, run, channel)."""

    __tablename__ = "signal"
    __table_args__ = (CheckConstraint("state IN (0, 1, 2)", name="state"), {"sqlite_with_rowid": False})
    cell_id: int = Field(sa_column=Column(BigId, ForeignKey("cell.id"), primary_key=True, autoincrement=False))
    run_id: int = Field(foreign_key="run.id", primary_key=True)
    channel: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    number: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    y_px: float = Field(sa_type=Scaled(10))
    x_px: float = Field(sa_type=Scaled(10))
    snr: float = Field(sa_type=Scaled(10))
    amplitude: float = Field(sa_type=Scaled(1))
    sigma_px: float = Field(sa_type=Scaled(50))
    state: int = Field(default=0, sa_type=SmallInteger, description="0 auto, 1 added by a person, 2 removed by a person")
    reason: str | None = None


class ContestedSignal(Table, table=True):
    """A signal that may be another nucleus', where outlines touch or overlap; few are, so they have a table of their own."""

    __tablename__ = "contested_signal"
    __table_args__ = (
        ForeignKeyConstraint(
            ["cell_id", "run_id", "channel", "number"], ["signal.cell_id", "signal.run_id", "signal.channel", "signal.number"]
        ),
        {"sqlite_with_rowid": False},
    )
    cell_id: int = Field(sa_column=Column(BigId, primary_key=True, autoincrement=False))
    run_id: int = Field(primary_key=True)
    channel: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    number: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    other_cell_id: int | None = Field(
        default=None,
        sa_column=Column(BigId, ForeignKey("cell.id"), index=True, nullable=True),
        description="the other nucleus; None: stained matter that segmentation left out",
    )


class StraySignal(Table, table=True):
    """A dot outside all nuclei, which never counts. A table of its own: dots in cells need not name their frame then."""

    __tablename__ = "stray_signal"
    __table_args__ = ({"sqlite_with_rowid": False},)
    frame_id: int = Field(foreign_key="frame.id", primary_key=True)
    run_id: int = Field(foreign_key="run.id", primary_key=True)
    channel: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    number: int = Field(primary_key=True)
    y_px: float = Field(sa_type=Scaled(10))
    x_px: float = Field(sa_type=Scaled(10))
    snr: float = Field(sa_type=Scaled(10))
    amplitude: float = Field(sa_type=Scaled(1))
    sigma_px: float = Field(sa_type=Scaled(50))


class SignalCount(Table, table=True):
    """Copies of a probe in a cell; zeros are stored."""

    __tablename__ = "signal_count"
    __table_args__ = ({"sqlite_with_rowid": False},)
    cell_id: int = Field(sa_column=Column(BigId, ForeignKey("cell.id"), primary_key=True, autoincrement=False))
    run_id: int = Field(foreign_key="run.id", primary_key=True)
    channel: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    n: int = Field(sa_type=SmallInteger)


class CellCall(Table, table=True):
    """The call of a cell by the assay's criteria."""

    __tablename__ = "cell_call"
    # Almost all cells are normal; the others are what is asked for by class.
    __table_args__ = (
        Index(None, "run_id", "class", sqlite_where=text(NOT_NORMAL), postgresql_where=text(NOT_NORMAL)),
        {"sqlite_with_rowid": False},
    )
    cell_id: int = Field(sa_column=Column(BigId, ForeignKey("cell.id"), primary_key=True, autoincrement=False))
    run_id: int = Field(foreign_key="run.id", primary_key=True)
    class_: str | None = Field(default=None, sa_column=Column("class", String, nullable=True))
    subtype: str | None = None
    is_cac: bool = False
    margin: float | None = Field(default=None, sa_type=Scaled(100))
    evaluable: bool = True
    exclusion_reason: str | None = None
    needs_review: bool = False
    review_reason: str | None = None


class Duplicate(Table, table=True):
    """A nucleus that overlapping frames show twice: ``cell_id`` is not counted, ``duplicate_of`` is the cell that is."""

    __tablename__ = "duplicate"
    cell_id: int = Field(sa_column=Column(BigId, ForeignKey("cell.id"), primary_key=True, autoincrement=False))
    run_id: int = Field(foreign_key="run.id", primary_key=True)
    duplicate_of: int = Field(sa_column=Column(BigId, ForeignKey("cell.id"), index=True, nullable=False))


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
        """Return name and version of the assay: "katz-4color 1"."""
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
