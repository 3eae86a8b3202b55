"""Pseudo-labels: cells of a segmentation that a model is trained on, and why the others are not among them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, String, cast, delete, func, select
from sqlmodel import Session, col

from cacapp.db.cells.nuclei import CellRecord, read_cells
from cacapp.db.engine.bulk import insert_columns
from cacapp.db.queries import frames_of_runs
from cacapp.db.runs.ledger import SUCCEEDED, get_run
from cacapp.db.tables import Cell, PseudoLabel, Run
from cacapp.exceptions import CacappError, UsageError
from cacapp.types import Instance

STEP = "pseudo-label"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The decision on one mask.

    Attributes:
        accepted: it is a training label.
        reasons: every filter's reason against it, empty where it is accepted.
        agreement: names of the prompt algorithms whose region is the same nucleus.
    """

    accepted: bool
    reasons: tuple[str, ...] = ()
    agreement: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PseudoLabelRecord:
    """A judged cell of a frame, its mask decoded."""

    cell: CellRecord
    judgement: Judgement

    @property
    def instance(self) -> Instance:
        return self.cell.instance


@dataclass(frozen=True, slots=True)
class PseudoLabelStats:
    """Counts over the cells of some pseudo-label runs.

    Attributes:
        cells, accepted: all that were judged, and those that are labels.
        reasons: cells by reason, the most frequent first; a cell with several reasons counts in each.
        agreed_by: for 0, 1, 2 ... prompt algorithms that agree: (cells, accepted ones).
        found_by: cells by the name of a prompt algorithm that agrees.
    """

    cells: int
    accepted: int
    reasons: dict[str, int]
    agreed_by: dict[int, tuple[int, int]]
    found_by: dict[str, int]

    @property
    def rejected(self) -> int:
        return self.cells - self.accepted


def write_pseudo_labels(session: Session, run_id: int, frame_id: int, cell_ids: Sequence[int], judged: Sequence[Judgement]) -> None:
    """Write the judgements of a frame's N cells, in place of those of a previous attempt of the run.

    Raises:
        ValueError: not one judgement a cell.
    """
    if len(cell_ids) != len(judged):
        raise ValueError(f"{len(judged)} judgements for {len(cell_ids)} cells")
    here = col(PseudoLabel.cell_id).in_(select(col(Cell.id)).where(col(Cell.frame_id) == frame_id))
    session.connection().execute(delete(PseudoLabel).where(col(PseudoLabel.run_id) == run_id, here))
    columns = {
        "cell_id": list(cell_ids),
        "run_id": run_id,
        "accepted": [j.accepted for j in judged],
        "reasons": [_json(j.reasons) for j in judged],
        "agreement": [_json(j.agreement) for j in judged],
    }
    insert_columns(session, PseudoLabel, len(judged), columns)


def read_pseudo_labels(session: Session, run: Run, frame_id: int) -> list[PseudoLabelRecord]:
    """Read a frame's judged cells of a pseudo-label run, by label.

    Raises:
        CacappError: a mask is damaged.
    """
    assert run.source_run_id is not None, "a pseudo-label run has a segment run"
    query = (
        select(col(PseudoLabel.cell_id), col(PseudoLabel.accepted), col(PseudoLabel.reasons), col(PseudoLabel.agreement))
        .join(Cell, col(Cell.id) == col(PseudoLabel.cell_id))
        .where(col(Cell.frame_id) == frame_id, col(Cell.run_id) == run.source_run_id, col(PseudoLabel.run_id) == run.id)
    )
    judged = {row.cell_id: Judgement(row.accepted, tuple(row.reasons), tuple(row.agreement)) for row in session.connection().execute(query)}
    return [PseudoLabelRecord(cell, judged[cell.id]) for cell in read_cells(session, run.source_run_id, frame_id) if cell.id in judged]


def pseudo_label_run(session: Session, run_id: int) -> Run:
    """Return the finished pseudo-label run with this number.

    Raises:
        UsageError: there is no such run, or it is one of another step.
        CacappError: it has not succeeded.
    """
    run = get_run(session, run_id)
    if run.step != STEP:
        hint = f"; its pseudo-labels: cacapp pseudo-label --run {run_id}" if run.step == "segment" else "; see: cacapp runs list"
        raise UsageError(f"run {run_id} is a {run.step} run and has no pseudo-labels{hint}")
    if run.status not in SUCCEEDED:
        raise CacappError(f"run {run_id} is not finished ({run.status}); finish it with: cacapp pseudo-label --run {run.source_run_id}")
    return run


def pseudo_label_stats(session: Session, run_ids: Sequence[int]) -> PseudoLabelStats:
    """Count accepted cells, reasons and agreement over pseudo-label runs; the database counts, so that no row is loaded."""
    accepted_, reasons_ = col(PseudoLabel.accepted), cast(col(PseudoLabel.reasons), String)
    agreement_ = cast(col(PseudoLabel.agreement), String)
    query: Select[*tuple[Any, ...]] = (
        select(accepted_.label("accepted"), reasons_.label("reasons"), agreement_.label("agreement"), func.count().label("n"))
        .join(Cell, col(Cell.id) == col(PseudoLabel.cell_id))
        .where(col(PseudoLabel.run_id).in_(run_ids), col(Cell.frame_id).in_(frames_of_runs(run_ids)))
        .group_by(accepted_, reasons_, agreement_)
    )
    cells = accepted = 0
    reasons: Counter[str] = Counter()
    found: Counter[str] = Counter()
    agreed: dict[int, tuple[int, int]] = {}
    for row in session.connection().execute(query):
        names = json.loads(row.agreement)
        cells += row.n
        accepted += row.n * row.accepted
        for reason in json.loads(row.reasons):
            reasons[_without_names(reason)] += row.n
        for name in names:
            found[name] += row.n
        before = agreed.get(len(names), (0, 0))
        agreed[len(names)] = before[0] + row.n, before[1] + row.n * row.accepted
    by_count = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return PseudoLabelStats(cells, accepted, dict(by_count), dict(sorted(agreed.items())), dict(sorted(found.items())))


def accepted_count(session: Session, run_ids: Sequence[int]) -> int:
    """Count the training labels of these runs."""
    query = (
        select(func.count())
        .select_from(PseudoLabel)
        .join(Cell, col(Cell.id) == col(PseudoLabel.cell_id))
        .where(col(PseudoLabel.run_id).in_(run_ids), col(Cell.frame_id).in_(frames_of_runs(run_ids)), col(PseudoLabel.accepted).is_(True))
    )
    return int(session.connection().execute(query).scalar_one())


def agreement_reason(names: Sequence[str], asked: Sequence[str], wanted: int) -> str | None:
    """Return why a mask is rejected on which only ``names`` of the prompt algorithms ``asked`` agree; None if at least ``wanted`` do."""
    if len(names) >= wanted:
        return None
    which = f" ({', '.join(names)})" if names else ""
    return f"agreed by {len(names)} of {len(asked)} prompt algorithms{which}, {wanted} wanted"


def _without_names(reason: str) -> str:
    """Remove the names of algorithms from a reason, so that it is one reason whichever algorithms agreed."""
    return re.sub(r" \([^)]*\)", "", reason) if reason.startswith("agreed by ") else reason


def _json(values: Sequence[Any]) -> str:
    return json.dumps(list(values), ensure_ascii=False)
