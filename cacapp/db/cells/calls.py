"""Writes of a count run: signals, counts and calls of a frame's cells, and the patient's result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import bindparam, delete, select
from sqlmodel import Session, col

from cacapp.db.engine.bulk import insert_columns
from cacapp.db.tables import Cell, CellCall, ContestedSignal, Patient, PatientResult, SignalCount, SignalRow, StraySignal
from cacapp.fish.calls import Call
from cacapp.types import Array


def write_signals(
    session: Session,
    run_id: int,
    frame_id: int,
    channel_index: int,
    yx: Array,
    snr: Array,
    amplitude: Array,
    sigma_px: Array,
    cell_ids: Sequence[int | None],
    reasons: Sequence[str | None],
    rivals: Mapping[int, int | None] | None = None,
) -> None:
    """Write the N dots of one channel of a frame, in place of those a previous attempt of the run left.

    Args:
        channel_index: the frame's channel index (0 is DAPI, probes from 1).
        yx: (N, 2) px, in the frame's coordinates; kept to a tenth.
        snr, amplitude, sigma_px: (N,), see types.Signals.
        cell_ids: N; the nucleus a dot lies in, or None: it goes to the table of stray signals, without its reason.
        reasons: N; why a dot does not count, None where it does.
        rivals: of the contested dots (by their place among the N) the other nucleus, None where it is none of the frame's.

    Raises:
        ValueError: arguments of different lengths.
    """
    yx = np.asarray(yx).reshape(-1, 2)
    size = len(yx)
    if not size == len(snr) == len(amplitude) == len(sigma_px) == len(cell_ids) == len(reasons):
        raise ValueError(f"signals of channel {channel_index}: arguments of different lengths")
    _delete_signals(session, run_id, frame_id, channel_index)
    owners = np.array([0 if cell_id is None else cell_id for cell_id in cell_ids], np.int64)
    order = np.argsort(owners, kind="stable")  # rows go in by key: SQLite appends instead of searching
    strays = int((owners == 0).sum())
    for table, index in ((StraySignal, order[:strays]), (SignalRow, order[strays:])):
        columns: dict[str, Any] = {
            "run_id": run_id,
            "channel": channel_index,
            "y_px": yx[index, 0],
            "x_px": yx[index, 1],
            "snr": np.asarray(snr)[index],
            "amplitude": np.asarray(amplitude)[index],
            "sigma_px": np.asarray(sigma_px)[index],
        }
        if table is StraySignal:
            columns |= {"frame_id": frame_id, "number": np.arange(strays)}
        else:
            found = owners[index]
            first = np.searchsorted(found, found)
            number = np.arange(len(found)) - first
            columns |= {"cell_id": found, "number": number, "state": 0, "reason": [reasons[i] for i in index]}
        insert_columns(session, table, len(index), columns)
    if rivals:
        at = [k for k, i in enumerate(index.tolist()) if i in rivals]
        keys = {"cell_id": found[at], "run_id": run_id, "channel": channel_index, "number": number[at]}
        insert_columns(session, ContestedSignal, len(at), keys | {"other_cell_id": [rivals[int(index[k])] for k in at]})


def _delete_signals(session: Session, run_id: int, frame_id: int, channel_index: int) -> None:
    connection = session.connection()
    connection.execute(
        delete(StraySignal).where(
            col(StraySignal.frame_id) == frame_id, col(StraySignal.run_id) == run_id, col(StraySignal.channel) == channel_index
        )
    )
    here = select(col(Cell.id)).where(col(Cell.frame_id) == frame_id)
    tables: tuple[Any, ...] = (ContestedSignal, SignalRow)
    for table in tables:
        own = (col(table.cell_id).in_(here), col(table.run_id) == run_id, col(table.channel) == channel_index)
        connection.execute(delete(table).where(*own))


def write_counts(session: Session, run_id: int, cell_ids: Sequence[int], counts: Array, channels: Sequence[int] | None = None) -> None:
    """Write the copies of P probes in N cells, zeros too, in place of earlier ones of the run.

    Args:
        counts: (N, P) integers.
        channels: the frame's channel index of each column; 1..P by default.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or len(counts) != len(cell_ids):
        raise ValueError(f"counts of shape {counts.shape} for {len(cell_ids)} cells")
    _delete_earlier(session, SignalCount, run_id, cell_ids)
    probes = counts.shape[1]
    columns = {
        "cell_id": np.repeat(np.asarray(cell_ids, np.int64), probes),
        "run_id": run_id,
        "channel": np.tile(np.arange(1, probes + 1) if channels is None else np.asarray(channels), len(counts)),
        "n": counts.ravel(),
    }
    insert_columns(session, SignalCount, counts.size, columns)


def write_calls(session: Session, run_id: int, cell_ids: Sequence[int], calls: Sequence[Call]) -> None:
    """Write one call for each of N cells, in place of earlier ones of the run."""
    _delete_earlier(session, CellCall, run_id, cell_ids)
    names = ("subtype", "is_cac", "margin", "evaluable", "exclusion_reason", "needs_review", "review_reason", "p_cac", "p_terms")
    columns = {name: [getattr(call, name) for call in calls] for name in names}
    classes = [call.class_ for call in calls]
    insert_columns(session, CellCall, len(cell_ids), columns | {"cell_id": list(cell_ids), "run_id": run_id, "class": classes})


def lock_patients(session: Session, patient_ids: Iterable[int]) -> None:
    """Lock the patients until the transaction ends, so that two processes do not write one's result at once; always in the same order."""
    mine = select(col(Patient.id)).where(col(Patient.id).in_(list(patient_ids))).order_by(col(Patient.id))
    session.connection().execute(mine.with_for_update(key_share=True)).all()


def write_patient_result(session: Session, result: PatientResult) -> PatientResult:
    """Write a patient's result as of a count run, in place of an earlier one of the same run."""
    kept = session.merge(result)
    session.flush()
    return kept


def _delete_earlier(session: Session, table: Any, run_id: int, cell_ids: Sequence[int]) -> None:
    """Delete earlier rows by primary key prefix, after a query whether there are any: on a first attempt there are none."""
    if not len(cell_ids):
        return
    connection = session.connection()
    near = (col(table.cell_id).between(int(min(cell_ids)), int(max(cell_ids))), col(table.run_id) == run_id)
    if connection.execute(select(col(table.run_id)).where(*near).limit(1)).first() is not None:
        statement = delete(table).where(col(table.cell_id) == bindparam("cell"), col(table.run_id) == bindparam("run"))
        connection.execute(statement, [{"cell": int(cell_id), "run": run_id} for cell_id in cell_ids])
