"""Additions to a patient's result: the false CACs to expect, the slides' quality, and the review."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from sqlmodel import Session

from cacapp.db.review.readings import readings, sign_offs
from cacapp.db.tables import PatientResult
from cacapp.report.result import ResultNumbers
from cacapp.report.review import ReviewSummary
from cacapp.report.wording import standing
from cacapp.results.carry_over import earlier_decisions
from cacapp.results.error_budget import Pools, budget_of
from cacapp.results.patient import numbers
from cacapp.results.review_outcome import outcome_of
from cacapp.results.reviewed import anyone_reviewed
from cacapp.results.slide_quality import quality_of

RATE = ("cacs_per_100ul", "cacs_per_100ul_low", "cacs_per_100ul_high")
SHOWN = 5
"""Changes of a signed result that are named; `cacapp db check` names all."""
REVIEWED = ("cells", "evaluable", "classes", "cacs", "cacs_balanced_polyploid", *RATE, "needs_review", "ratio")
"""A patient's numbers after review, named as those of the software."""


@dataclass(frozen=True, slots=True)
class Extras:
    """Additions to a result, for tables and files.

    Attributes:
        false_cacs: the error budget, None where no control was counted alike.
        qc: by slide the verdict and what is wrong in words; empty where quality was not measured.
        remarks: lines worth a person's attention.
        review: what people made of the software's calls, and their signatures of earlier results too; None without either.
        reviewed, verdict: the numbers and the verdict after review; None where nobody has reviewed this result.
        earlier_decisions: decisions of earlier counts that are neither carried over nor left behind, in words.
        standing: how far the review is, in words; "" without a result.
    """

    false_cacs: dict[str, Any] | None = None
    qc: dict[str, dict[str, Any]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    review: ReviewSummary | None = None
    reviewed: ResultNumbers | None = None
    verdict: str | None = None
    standing: str = ""
    earlier_decisions: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the keys that they add to a patient's record of automatic numbers."""
        return {"false_cacs": self.false_cacs, "qc": self.qc, "review": self._review_record()}

    def _review_record(self) -> dict[str, Any]:
        review, numbers = self.review, self.reviewed
        earlier = {"earlier_decisions": list(self.earlier_decisions)}
        if review is None:
            return {"standing": self.standing, "reviewed": None, "signed_by": None, "signed_at": None} | earlier
        signed = review.signed
        return earlier | {
            "standing": self.standing,
            "reviewed": None if numbers is None else {name: getattr(numbers, name) for name in REVIEWED} | {"verdict": self.verdict},
            "decided": review.decided,
            "changed": review.changed,
            "open": review.open,
            "readings": [asdict(line) for line in review.readings],
            "agreement": [asdict(line) for line in review.agreement],
            "signed_by": signed.signer if signed else None,
            "signed_at": signed.signed_at.isoformat() if signed else None,
            "sha256": signed.sha256 if signed else None,
            "head": signed.head if signed else None,
            "changed_since": list(review.problems),
        }


def extras_of(session: Session, result: PatientResult | None, pools: Pools | None = None) -> Extras:
    """Return the additions to a result; empty without one."""
    if result is None:
        return Extras()
    slides = quality_of(session, result)
    qc = {s.slide: {"verdict": s.verdict, "problems": s.problems} for s in slides}
    remarks = tuple(f"QC {s.verdict}, slide {s.slide}: {s.problems[0]}" for s in slides if s.problems)
    false_cacs = _false_cacs(session, result, pools)
    waiting = earlier_decisions(session, result)
    remarks += waiting
    if not (readings(session, result.count_run_ids) or sign_offs(session, result.patient_id)):
        return Extras(false_cacs, qc, remarks, standing=standing(None), earlier_decisions=waiting)
    outcome, automatic = outcome_of(session, result), numbers(result)
    review = outcome.summary(automatic, result.verdict)
    remarks += tuple(f"changed outside cacapp: {problem}" for problem in outcome.problems[:SHOWN])
    if not anyone_reviewed(session, result):
        return Extras(false_cacs, qc, remarks, review, standing=standing(review), earlier_decisions=waiting)
    return Extras(false_cacs, qc, remarks, review, outcome.numbers(automatic), outcome.reviewed.verdict, standing(review), waiting)


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
