"""Digests of all that a signed result rests on: the result, its slides, runs with assay and settings, files, cells, calls and signals.

The database makes one text of a frame's rows and it is hashed here: 20,000 cells with their signals take a fraction of a second. The
text is the same on SQLite and PostgreSQL. A signature stores the digests, so FORM grows where they are made in another way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Boolean, Integer, LargeBinary, Select, String, bindparam, cast, func, select, type_coerce
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import Session, col

from cacapp.db.review.tables import Reading
from cacapp.db.runs.ledger import frames_in_state
from cacapp.db.tables import (
    Cell,
    CellCall,
    ChannelRow,
    ContestedSignal,
    Duplicate,
    FrameRow,
    Patient,
    PatientResult,
    Run,
    SignalCount,
    SignalRow,
    Slide,
    table_of,
)

FORM = 1
KINDS: Mapping[str, Mapping[str, Any]] = {
    "segment": {"cells": Cell},
    "count": {
        "calls": CellCall,
        "counts": SignalCount,
        "signals": SignalRow,
        "ambiguous signals": ContestedSignal,
        "duplicates": Duplicate,
    },
}
"""The tables of a frame's results, by step and by their name in messages."""
NOT_COVERED = ("run_id", "created_at")
"""Columns that a digest leaves out: the run that it belongs to, and when a result was computed."""
_SETTINGS = ("id", "step", "slide_id", "source_run_id", "algorithms", "params", "weights_sha256", "app_version", "device", "seed")
_ASSAY = ("assay_name", "assay_version", "assay_toml", "fingerprint")
_FILE = ("name", "sha256", "scene", "projection", "height_px", "width_px", "dtype")
_CHANNEL = ("index", "name", "found_as", "source_index", "sha256")


def content_of(session: Session, result_run_id: int, patient_id: int, covered: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the digests of a result's content, by what they cover; without what is not there.

    Args:
        result_run_id, patient_id: the key of the result.
        covered: the content of a signature, to cover the same frames, and the same columns where tables have got more since; None: all
            that was counted.
    """
    result = session.get(PatientResult, (result_run_id, patient_id))
    patient = session.get(Patient, patient_id)
    columns = _columns() if covered is None else covered["columns"]
    content: dict[str, Any] = {"form": FORM, "columns": columns, "result": None, "slides": {}, "runs": {}, "files": {}, "readings": None}
    if result is None or patient is None:
        return content
    frames = None if covered is None else _frames_of(covered)
    content["result"] = _sha256({name: getattr(result, name, None) for name in columns["patient_result"]})
    content["readings"] = _readings(session, result.count_run_ids)
    for run_id in result.count_run_ids:
        counted = session.get(Run, run_id)
        if counted is None:
            continue
        slide = session.get(Slide, counted.slide_id)
        if slide is not None:
            owner = session.get(Patient, slide.patient_id)
            content["slides"][slide.barcode] = _sha256([owner.code if owner else None, slide.barcode, slide.blood_volume_ul])
        rows = frames_in_state(session, run_id, "done")
        counted_frames = [f for f in rows if frames is None or f.id in frames.get(run_id, ())]
        content["files"] |= {str(f.id): _file(session, f) for f in counted_frames}
        segmented = None if counted.source_run_id is None else session.get(Run, counted.source_run_id)
        for run in (segmented, counted):
            if run is not None:
                content["runs"][str(run.id)] = _run(session, run, counted_frames, columns)
    return content


def _columns() -> dict[str, list[str]]:
    """Return the columns to cover by table: the rows of cells, and the result but for the time when it was computed."""
    models = [PatientResult, *(model for kinds in KINDS.values() for model in kinds.values())]
    return {table.name: [c.name for c in table.columns if c.name not in NOT_COVERED] for table in map(table_of, models)}


def _frames_of(content: Mapping[str, Any]) -> dict[int, list[int]]:
    """Return, by run, the frames that a signature's content covers."""
    return {int(run_id): [int(frame) for frame in run["frames"]] for run_id, run in content["runs"].items()}


def differences(session: Session, signed: Mapping[str, Any], now: Mapping[str, Any], *, readings: bool) -> Iterator[str]:
    """Yield what is not as it was signed, in words. ``readings``: whether those may not have changed since."""
    if now["result"] is None:
        yield "the signed result is not there any more"
        return
    if signed["result"] != now["result"]:
        yield "the automatic result (patient_result) was changed"
    if readings and signed["readings"] != now["readings"]:
        yield "the readers (reading) were changed"
    for barcode, digest in signed["slides"].items():
        if now["slides"].get(barcode) != digest:
            yield f"slide {barcode}: its barcode, patient or blood volume was changed"
    names = {str(f.id): f.name for f in session.execute(select(FrameRow).where(col(FrameRow.id).in_(map(int, signed["files"])))).scalars()}
    for frame, digest in signed["files"].items():
        if now["files"].get(frame) != digest:
            yield f"frame {names.get(frame, frame)}: its files or channels were changed, or it does not count as done any more"
    for run_id, run in signed["runs"].items():
        yield from _run_differences(run_id, run, now["runs"].get(run_id), names)


def _run_differences(run_id: str, signed: Mapping[str, Any], now: Mapping[str, Any] | None, names: Mapping[str, str]) -> Iterator[str]:
    if now is None:
        yield f"run {run_id} was deleted"
        return
    if signed["settings"] != now["settings"]:
        yield f"run {run_id}: its settings, assay or software were changed"
    frames = [names.get(frame, frame) for frame, digest in signed["frames"].items() if now["frames"].get(frame) != digest]
    kinds = [kind for kind, digest in signed["kinds"].items() if now["kinds"].get(kind) != digest]
    if frames or kinds:
        what = "cells" if kinds == ["cells"] else f"{', '.join(kinds) or 'rows'} of cells"
        yield f"run {run_id}: {what} of frame {', '.join(frames[:5])}{' and others' if len(frames) > 5 else ''} were changed"


def _run(session: Session, run: Run, frames: Sequence[FrameRow], columns: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    kinds = {kind: hashlib.sha256() for kind in KINDS.get(run.step, {})}
    by_frame = {}
    connection = session.connection()
    for frame in frames:
        whole = hashlib.sha256()
        for kind, digest in kinds.items():
            model = KINDS[run.step][kind]
            query = _rows_of_frame(model, connection.dialect.name, tuple(columns[table_of(model).name]))
            rows = connection.execute(query, {"run": run.id, "frame": frame.id, "source": run.source_run_id or run.id}).scalar_one() or ""
            piece = hashlib.sha256(rows.encode(errors="surrogatepass")).digest()
            digest.update(piece)
            whole.update(piece)
        by_frame[str(frame.id)] = whole.hexdigest()
    settings = _sha256({name: getattr(run, name) for name in (*_SETTINGS, *_ASSAY)})
    return {"settings": settings, "kinds": {kind: digest.hexdigest() for kind, digest in kinds.items()}, "frames": by_frame}


@lru_cache
def _rows_of_frame(model: Any, dialect: str, names: tuple[str, ...]) -> Select[Any]:
    """Return the query for the text of all rows of a frame in a run, in the order of their keys; parameters run, frame and source."""
    table = table_of(model)
    values = [_value(table.columns[name], dialect) for name in names if name in table.columns]
    line = getattr(func, "printf" if dialect == "sqlite" else "format")(",".join(["%s"] * len(values)), *values)
    query = select(line.label("line")).where(table.c.run_id == bindparam("run"))
    if model is Cell:
        query = query.where(table.c.frame_id == bindparam("frame"))
    else:
        cell = table_of(Cell)
        query = query.join(cell, cell.c.id == table.c.cell_id)
        query = query.where(cell.c.frame_id == bindparam("frame"), cell.c.run_id == bindparam("source"))
    lines = query.order_by(*(c for c in table.primary_key.columns if c.name != "run_id")).subquery()
    return select(func.aggregate_strings(lines.c.line, ";"))


def _value(column: ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    """Return a value as a number or text that is the same on both kinds of database; "-" for NULL.

    A text has its number of bytes in front, so that it cannot imitate the values after it.
    """
    value: ColumnElement[Any]
    if isinstance(column.type, LargeBinary):
        value = func.hex(column) if dialect == "sqlite" else func.upper(func.encode(column, "hex"))
    elif isinstance(column.type, String):
        size = func.length(cast(column, LargeBinary)) if dialect == "sqlite" else func.octet_length(column)
        value = cast(size, String).concat(":").concat(column)
    elif isinstance(column.type, Boolean):
        value = cast(column, Integer)
    else:
        value = type_coerce(column, Integer)  # also Scaled
    return func.coalesce(cast(value, String), "-") if getattr(column, "nullable", True) else value


def _file(session: Session, frame: FrameRow) -> str:
    channels = session.execute(select(ChannelRow).where(col(ChannelRow.frame_id) == frame.id).order_by(col(ChannelRow.index))).scalars()
    own = [[getattr(channel, name) for name in _CHANNEL] for channel in channels]
    return _sha256([{name: getattr(frame, name) for name in _FILE}, own])


def _readings(session: Session, run_ids: Sequence[int]) -> str:
    rows = session.execute(select(Reading).where(col(Reading.run_id).in_(run_ids))).scalars()
    return _sha256(sorted([r.run_id, r.position, r.reviewer] for r in rows))


def _sha256(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()
