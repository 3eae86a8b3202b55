"""What is known of a patient's result beyond its own row: the false CACs to expect."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlmodel import Session

from cacapp.db.tables import PatientResult
from cacapp.steps.control import Pools, budget_of


@dataclass(frozen=True, slots=True)
class Extras:
    """For tables and files.

    Attributes:
        false_cacs: the error budget, None where no control was counted alike.
        remarks: lines worth a person's attention.
    """

    false_cacs: dict[str, Any] | None = None
    remarks: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """The keys they add to a patient's record."""
        return {"false_cacs": self.false_cacs}


def extras_of(session: Session, result: PatientResult | None, pools: Pools | None = None) -> Extras:
    """The extras of a result; empty without one."""
    if result is None:
        return Extras()
    budget = budget_of(session, result, pools).known
    if budget is None:
        return Extras()
    names = ("rate", "rate_low", "rate_high", "expected", "expected_low", "expected_high")
    chances = ("probability", "probability_high", "probability_exact")
    pool = asdict(budget.pool)
    known = {name: getattr(budget, name) for name in (*names, *chances)}
    controls = {name: pool[name] for name in ("slides", "donors", "evaluable", "cacs")}
    beyond = [f.cutoff.finding for f in budget.findings if f.beyond]
    return Extras(known | {"controls": controls, "beyond_normal": beyond})
