"""Agreement of two readings of a slide, and the decisions of an adjudicator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlmodel import Session

from cacapp.db.cells.states import called_cells, machine_states
from cacapp.db.review.readings import readings, valid_reviews
from cacapp.fish.review import State, cohens_kappa
from cacapp.results.reviewed import state_of


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A cell on which two finished readings differ; ``settled``: its state after the adjudicator's decision."""

    cell_id: int
    first: State
    second: State
    settled: State | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two readings of a slide, compared over the flagged cells and those that either reader changed.

    ``kappa``: Cohen's, of the cells' labels; None where it is not defined. ``labels``: cells by (first label, second label).
    """

    cells: int
    same: int
    kappa: float | None
    disagreements: tuple[Disagreement, ...]
    labels: Mapping[tuple[str, str], int]

    @property
    def open(self) -> int:
        return sum(d.settled is None for d in self.disagreements)


def agreement(session: Session, run_id: int) -> Agreement | None:
    """Compare two readings; None before both are finished."""
    second = [r for r in readings(session, [run_id]).get(run_id, []) if r.position == "second"]
    if not second or any(r.finished_at is None for r in second):
        return None
    by = {p: {c: state_of(r) for c, r in valid_reviews(session, run_id, p).items()} for p in ("first", "second", "adjudication")}
    flagged = {c.cell_id for c in called_cells(session, run_id) if c.flagged}
    cells = sorted(flagged | by["first"].keys() | by["second"].keys())
    machine = machine_states(session, run_id, cells)
    first = [by["first"].get(c, machine[c]) for c in cells]
    other = [by["second"].get(c, machine[c]) for c in cells]
    differ = tuple(
        Disagreement(c, a, b, by["adjudication"].get(c)) for c, a, b in zip(cells, first, other, strict=True) if a.label != b.label
    )
    kappa = cohens_kappa([s.label for s in first], [s.label for s in other])
    labels = Counter((a.label, b.label) for a, b in zip(first, other, strict=True))
    return Agreement(len(cells), len(cells) - len(differ), kappa, differ, labels)
