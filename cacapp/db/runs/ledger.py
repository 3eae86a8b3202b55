"""Runs and their ledger of frames."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from sqlmodel import Session, col, select

from cacapp.db.tables import FrameRow, Run, RunFrame, Slide, now
from cacapp.exceptions import UsageError

PARTLY = "succeeded with failures"
SUCCEEDED = ("succeeded", PARTLY)
"""Statuses of runs with valid results; results of the latter lack the failed frames."""

OPEN = ("pending", "failed")
"""States of frames that are not done; a quarantined frame has reached its number of attempts."""


def fingerprint(**parts: Any) -> str:
    """Return SHA-256 of the parts as canonical JSON (sorted keys, no spaces, UTF-8).

    Raises:
        TypeError, ValueError: a part without a canonical form in JSON, such as a set or NaN.
    """
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def start_run(
    session: Session,
    *,
    step: str,
    slide_id: int,
    fingerprint: str,
    app_version: str,
    source_run_id: int | None = None,
    algorithms: dict[str, Any] | None = None,
    params: dict[str, Any] | None = None,
    weights_sha256: str | None = None,
    assay_name: str | None = None,
    assay_version: str | None = None,
    assay_toml: str | None = None,
    device: str = "cpu",
    seed: int = 0,
    frame_ids: Iterable[int] | None = None,
    request_id: int | None = None,
    owner: str | None = None,
) -> Run:
    """Start a run, with every frame of the slide (or ``frame_ids``) pending in its ledger.

    Args:
        request_id: the command of the run.
        owner: the process that executes it (see ``cacapp.db.runs.lease``).
    """
    run = Run(
        request_id=request_id,
        owner=owner,
        step=step,
        slide_id=slide_id,
        source_run_id=source_run_id,
        algorithms=algorithms or {},
        params=params or {},
        weights_sha256=weights_sha256,
        assay_name=assay_name,
        assay_version=assay_version,
        assay_toml=assay_toml,
        app_version=app_version,
        device=device,
        seed=seed,
        fingerprint=fingerprint,
    )
    session.add(run)
    session.flush()
    if frame_ids is None:
        frame_ids = [i for i in session.exec(select(FrameRow.id).where(FrameRow.slide_id == slide_id)) if i is not None]
    session.add_all(RunFrame(run_id=run.id, frame_id=frame_id) for frame_id in frame_ids)
    session.flush()
    return run


def lock_slides(session: Session, slide_ids: Iterable[int]) -> None:
    """Lock the slides until the transaction ends, in a fixed order, so that two processes do not start the same run."""
    session.exec(select(Slide.id).where(col(Slide.id).in_(list(slide_ids))).order_by(col(Slide.id)).with_for_update(key_share=True)).all()


def get_run(session: Session, run_id: int) -> Run:
    """Return the run with this number.

    Raises:
        UsageError: there is none.
    """
    run = session.get(Run, run_id)
    if run is None:
        raise UsageError(f"there is no run {run_id}; `cacapp runs list` shows the runs there are")
    return run


def finish_run(session: Session, run_id: int, status: str = "succeeded", error: str | None = None) -> Run:
    """Finish a run as ``succeeded``, ``succeeded with failures``, ``failed`` or ``cancelled``; it has no owner then."""
    run = get_run(session, run_id)
    run.status = status
    run.error = error
    run.owner = None
    run.finished_at = now()
    session.flush()
    return run


def record_frame(
    session: Session,
    run_id: int,
    frame_id: int,
    status: str,
    attempts: int = 1,
    error: str | None = None,
    seconds: float | None = None,
    details: dict[str, Any] | None = None,
) -> RunFrame:
    """Write a frame's state into the ledger, in the transaction of its results, so that a frame is stored as a whole or not at all.

    Args:
        status: ``pending``, ``done``, ``failed`` or ``quarantined``.
        seconds: time the frame took, s.
        details: further data of the step, such as the filters' limits.
    """
    row = session.get(RunFrame, (run_id, frame_id))
    if row is None:
        row = RunFrame(run_id=run_id, frame_id=frame_id)
        session.add(row)
    row.status = status
    row.attempts = attempts
    row.error = error
    row.seconds = seconds
    row.details = details or {}
    session.flush()
    return row


def retry_frames(session: Session, run_id: int) -> int:
    """Set frames that failed or are quarantined to pending, as if they had never been tried; return their number."""
    ledger = select(RunFrame).where(RunFrame.run_id == run_id, col(RunFrame.status).in_(("failed", "quarantined")))
    rows = session.exec(ledger).all()
    for row in rows:
        row.status, row.attempts = "pending", 0
    return len(rows)


def frames_in_state(session: Session, run_id: int, *states: str) -> list[FrameRow]:
    """Return the run's frames in any of ``states`` of the ledger, by name."""
    ledger = select(FrameRow).join(RunFrame).where(RunFrame.run_id == run_id, col(RunFrame.status).in_(states))
    return list(session.exec(ledger.order_by(col(FrameRow.name))))
