"""What is known of a patient's result beyond its own row: the false CACs to expect, and the slides' quality."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from sqlmodel import Session

from cacapp.db.tables import PatientResult
from cacapp.steps.control import Pools, budget_of
from cacapp.steps.qc import quality_of


@dataclass(frozen=True, slots=True)
class Extras:
    """For tables and files.

    Attributes:
        false_cacs: the error budget, None where no control was counted alike.
        qc: by slide the verdict and what is wrong in words; empty where quality was not measured.
        remarks: lines worth a person's attention.
    """

    false_cacs: dict[str, Any] | None = None
    qc: dict[str, dict[str, Any]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """The keys they add to a patient's record."""
        return {"false_cacs": self.false_cacs, "qc": self.qc}


def extras_of(session: Session, result: PatientResult | None, pools: Pools | None = None) -> Extras:
    """The extras of a result; empty without one."""
    if result is None:
        return Extras()
    slides = quality_of(session, result)
    qc = {s.slide: {"verdict": s.verdict, "problems": s.problems} for s in slides}
    remarks = tuple(f"QC {s.verdict}, slide {s.slide}: {s.problems[0]}" for s in slides if s.problems)
    return Extras(_false_cacs(session, result, pools), qc, remarks)


def _false_cacs(session: Session, result: PatientResult, pools: Pools | None) -> dict[str, Any] | None:
    budget = budget_of(session, result, pools).known
    if budget is None:
        return None
    names = ("rate", "rate_low", "rate_high", "expected", "expected_low", "expected_high")
    chances = ("probability", "probability_high", "probability_exact")
    pool = asdict(budget.pool)
    known = {name: getattr(budget, name) for name in (*names, *chances)}
    controls = {name: pool[name] for name in ("slides", "donors", "evaluable", "cacs")}
    beyond = [f.cutoff.finding for f in budget.findings if f.beyond]
    return known | {"controls": controls, "beyond_normal": beyond}
