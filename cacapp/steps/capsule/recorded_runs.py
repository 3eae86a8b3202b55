"""A count run with its segmentation, or a segmentation alone, with names in place of database ids: for capsules and comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session

from cacapp.db.runs.content import CONTENT, ledger_of, rows_of
from cacapp.db.runs.ledger import get_run
from cacapp.db.slides import frame_source
from cacapp.db.tables import Run, Slide
from cacapp.exceptions import UsageError
from cacapp.types import ChannelSource, FrameSource

_NUCLEUS = [("frame", pa.string()), ("label", pa.int64())]
_DOT = [(name, pa.float64()) for name in ("y_px", "x_px", "snr", "amplitude", "sigma_px")]
_FLOATS = ("centroid_y_px", "centroid_x_px", "length_px", "width_px", "roundness", "solidity", "score", "focus")
_BOX = ("bbox_x_px", "bbox_y_px", "bbox_w_px", "bbox_h_px", "area_px")

SCHEMAS: Mapping[str, pa.Schema] = {
    "cells": pa.schema(
        [
            *_NUCLEUS,
            *((name, pa.int64()) for name in _BOX),
            *((name, pa.float64()) for name in _FLOATS),
            ("mask", pa.binary()),
            ("evaluable", pa.bool_()),
            ("exclusion_reason", pa.string()),
        ]
    ),
    "verdicts": pa.schema([*_NUCLEUS, ("filter", pa.string()), ("reason", pa.string())]),
    "signals": pa.schema(
        [*_NUCLEUS, ("channel", pa.string()), ("number", pa.int64()), *_DOT, ("state", pa.int64()), ("reason", pa.string())]
    ),
    "contested": pa.schema([*_NUCLEUS, ("channel", pa.string()), ("number", pa.int64()), ("other_label", pa.int64())]),
    "stray_signals": pa.schema([_NUCLEUS[0], ("channel", pa.string()), ("number", pa.int64()), *_DOT]),
    "counts": pa.schema([*_NUCLEUS, ("channel", pa.string()), ("n", pa.int64())]),
    "calls": pa.schema(
        [
            *_NUCLEUS,
            ("class", pa.string()),
            ("subtype", pa.string()),
            ("is_cac", pa.bool_()),
            ("margin", pa.float64()),
            ("evaluable", pa.bool_()),
            ("exclusion_reason", pa.string()),
            ("needs_review", pa.bool_()),
            ("review_reason", pa.string()),
        ]
    ),
    "duplicates": pa.schema([*_NUCLEUS, ("of_frame", pa.string()), ("of_label", pa.int64())]),
    "quality": pa.schema(
        [("channel", pa.string()), ("measure", pa.string()), ("value", pa.float64()), ("verdict", pa.string()), ("reason", pa.string())]
    ),
}
"""Columns and types of each content of a run, see ``cacapp.db.runs.content``; masks are COCO RLE of the bounding box's crop."""


class Strict(BaseModel):
    """A JSON object in a capsule: all fields are required, others are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AlgorithmRecord(Strict):
    """An algorithm with the value of every parameter, see ``cacapp.runs.choice.Choice``."""

    kind: str
    name: str
    distribution: str
    version: str
    params: dict[str, Any]
    weights_sha256: str | None


class EnvironmentRecord(Strict):
    """See ``cacapp.runs.environment``; ``counting_code`` None: a segmentation, or a count by a version that did not record it."""

    python: str
    platform: str
    packages: dict[str, str]
    counting_code: str | None = None


class RunRecord(Strict):
    """All that decided a run's result. ``number`` and times are the source database's; ``environment`` None: not recorded."""

    number: int
    step: Literal["segment", "count"]
    status: str
    algorithms: tuple[AlgorithmRecord, ...]
    environment: EnvironmentRecord | None
    app_version: str
    device: str
    seed: int
    fingerprint: str
    assay_name: str | None
    assay_version: str | None
    assay_toml: str | None
    started_at: datetime
    finished_at: datetime | None


class FrameState(Strict):
    """A frame in a run's ledger."""

    name: str
    status: str
    attempts: int
    error: str | None
    seconds: float | None
    details: dict[str, Any]


class ChannelRecord(Strict):
    """A channel and the place of its pixels, see ``cacapp.types.ChannelSource``."""

    name: str
    found_as: str
    uri: str
    index: int
    sha256: str
    exposure_ms: float | None
    plane_sha256: str | None = None


class FrameRecord(Strict):
    """A frame as it was ingested, see ``cacapp.types.FrameSource``."""

    name: str
    uri: str
    sha256: str
    scene: str
    projection: str
    height_px: int = Field(gt=0)
    width_px: int = Field(gt=0)
    dtype: str
    pixel_size_um: float | None
    channels: tuple[ChannelRecord, ...] = Field(min_length=1)
    stage_x_um: float | None
    stage_y_um: float | None
    pixel_size_source: str | None = None
    reader: str | None = None
    reader_version: str | None = None

    @classmethod
    def of(cls, source: FrameSource) -> FrameRecord:
        known = {name: getattr(source, name) for name in cls.model_fields if name != "channels"}
        fields = tuple(ChannelRecord.model_fields)
        return cls(**known, channels=tuple(ChannelRecord(**{f: getattr(c, f) for f in fields}) for c in source.channels))

    def source(self) -> FrameSource:
        known = {name: getattr(self, name) for name in FrameRecord.model_fields if name != "channels"}
        return FrameSource(**known, channels=tuple(ChannelSource(**c.model_dump()) for c in self.channels))


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run: its record, its ledger, and a table for each content that it wrote."""

    record: RunRecord
    ledger: tuple[FrameState, ...]
    tables: Mapping[str, pa.Table]


@dataclass(frozen=True, slots=True)
class RecordedRuns:
    """A count run with its segmentation, or a segmentation alone.

    Attributes:
        slide: barcode; ``blood_volume_ul``: volume of blood from which the slide was made, µL. No patient: no result depends on it.
        frames: the inputs, by name.
        segment, count: the runs; ``count`` is None for a segmentation alone.
    """

    slide: str
    blood_volume_ul: float | None
    frames: tuple[FrameRecord, ...]
    segment: RecordedRun
    count: RecordedRun | None = None

    @property
    def last(self) -> RecordedRun:
        """Return the count run, or the segmentation where there is none."""
        return self.count or self.segment

    def runs(self) -> Iterator[RecordedRun]:
        """Yield the runs in their order."""
        yield self.segment
        if self.count is not None:
            yield self.count


def read_recorded_runs(session: Session, run_id: int) -> RecordedRuns:
    """Read run ``run_id`` from the database; a count run with its segmentation.

    Raises:
        UsageError: there is no such run, it is of another step, or it is not finished.
    """
    run = get_run(session, run_id)
    if run.step not in CONTENT:
        raise UsageError(f"run {run_id} is a {run.step} run; only segment and count runs hold cells")
    if run.status == "running":
        raise UsageError(f"run {run_id} is not finished; repeat its command to finish it, or see cacapp runs show {run_id}")
    slide = session.get_one(Slide, run.slide_id)
    last = _recorded_run(session, run)
    source = _recorded_run(session, get_run(session, run.source_run_id)) if run.step == "count" and run.source_run_id is not None else None
    if run.step == "count" and source is None:
        raise UsageError(f"run {run_id} does not say which segmentation it counted in; count the slide again")
    frames = tuple(FrameRecord.of(frame_source(session, frame)) for frame, _ in ledger_of(session, run.source_run_id or run_id))
    return RecordedRuns(slide.barcode, slide.blood_volume_ul, frames, source or last, last if source else None)


def _recorded_run(session: Session, run: Run) -> RecordedRun:
    run_id = run.id
    known = {name: getattr(run, name) for name in RunRecord.model_fields if name not in ("number", "algorithms", "environment")}
    record = RunRecord(
        number=run_id,
        algorithms=tuple(AlgorithmRecord(**one) for one in run.algorithms.get("chosen", [])),
        environment=EnvironmentRecord(**run.algorithms["environment"]) if "environment" in run.algorithms else None,
        **known,
    )
    states = sorted((_state(frame.name, row) for frame, row in ledger_of(session, run_id)), key=lambda state: state.name)
    tables = {name: _table(name, rows_of(session, run.step, name, run_id)) for name in CONTENT[run.step]}
    return RecordedRun(record, tuple(states), tables)


def _state(name: str, row: Any) -> FrameState:
    return FrameState(name=name, **{field: getattr(row, field) for field in FrameState.model_fields if field != "name"})


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    schema = SCHEMAS[name]
    table = pa.table({field.name: pa.array([row[field.name] for row in rows], field.type) for field in schema}, schema=schema)
    # sorted by bytes, since each database sorts text in its own way; the order within a nucleus is the query's
    keys = [key for key in ("frame", "label") if key in schema.names]
    return table.sort_by([(key, "ascending") for key in keys]) if keys else table
