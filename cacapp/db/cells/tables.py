"""The tables of cells: nuclei, their signals, counts and calls.

Keys start with what rows are looked up and deleted by: a frame's signals, a cell's counts. The big tables have no rowid in SQLite, so
that a row is stored once, in key order (https://www.sqlite.org/withoutrowid.html).
"""

from __future__ import annotations

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

from cacapp.db.engine.base import Table
from cacapp.db.engine.columns import BigId, Scaled

NOT_NORMAL = "class <> 'normal'"


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
    p_cac: float | None = Field(default=None, sa_type=Scaled(10_000), description="probability that the cell is a CAC; None: not known")
    p_terms: str | None = Field(default=None, description="what leaves it between 0 and 1, in words")


class Duplicate(Table, table=True):
    """A nucleus that overlapping frames show twice: ``cell_id`` is not counted, ``duplicate_of`` is the cell that is."""

    __tablename__ = "duplicate"
    cell_id: int = Field(sa_column=Column(BigId, ForeignKey("cell.id"), primary_key=True, autoincrement=False))
    run_id: int = Field(foreign_key="run.id", primary_key=True)
    duplicate_of: int = Field(sa_column=Column(BigId, ForeignKey("cell.id"), index=True, nullable=False))
