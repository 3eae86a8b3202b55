"""The review of a patient's result, for the report: cells and numbers after review, readers and signatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlmodel import Session

from cacapp.db.cells.queries import CellRow
from cacapp.db.cells.states import machine_states
from cacapp.db.review.readings import readings, sign_offs
from cacapp.db.review.tables import Review
from cacapp.db.tables import PatientResult, Run, Slide
from cacapp.fish.patient import PatientOutcome
from cacapp.fish.review import State
from cacapp.report.result import ResultNumbers
from cacapp.report.review import AgreementLine, ReadingLine, ReviewSummary, SignatureLine
from cacapp.report.wording import moment, plain
from cacapp.results.agreement import agreement
from cacapp.results.reviewed import Reviewed, review_patient, state_of, valid_in_view
from cacapp.results.signature import head_of, signature_problems


@dataclass(frozen=True, slots=True)
class Outcome:
    """The reviews of a result: by cell id the valid decision, the state after it, and the software's state."""

    found: Reviewed
    decisions: Mapping[int, Review]
    states: Mapping[int, State]
    machine: Mapping[int, State]
    readings: tuple[ReadingLine, ...]
    agreement: tuple[AgreementLine, ...]
    signatures: tuple[SignatureLine, ...]
    problems: tuple[str, ...]

    @property
    def reviewed(self) -> PatientOutcome:
        """Return the numbers after review; the software's without a decision."""
        return self.found.reviewed

    def applied(self, row: CellRow) -> CellRow:
        """Return the cell after review."""
        state = self.states.get(row.cell_id)
        if state is None:
            return row
        return replace(
            row,
            counts=dict(state.counts),
            class_=state.class_,
            subtype=state.subtype,
            is_cac=state.is_cac,
            evaluable=state.evaluable,
            exclusion_reason=state.exclusion_reason,
            needs_review=state.needs_review,
            review_reason=row.review_reason if state.needs_review else None,
        )

    def words(self, cell_id: int) -> str | None:
        """Return who decided on a cell, when, and the software's call; None without a decision."""
        review = self.decisions.get(cell_id)
        if review is None or not self.states[cell_id].decided:
            return None
        now = self.states[cell_id]
        why = f": {now.exclusion_reason}" if now.exclusion_reason else ""
        before = self.machine[cell_id]
        same = before.label == now.label and before.counts == now.counts
        was = "" if same else f"; the software had {plain(before.label)} {_pattern(before.counts)}"
        return f"Reviewed by {review.reviewer}, {moment(review.created_at)}: {plain(now.label)} {_pattern(now.counts)}{why}{was}"

    def numbers(self, automatic: ResultNumbers) -> ResultNumbers:
        """Return the report's numbers after review."""
        kept = ("frames", "frames_failed", "ratio")
        own = {n: getattr(self.reviewed, n) for n in ResultNumbers.__dataclass_fields__ if n not in kept}
        ratio = None if self.reviewed.ratio is None else self.reviewed.ratio.record()
        return replace(automatic, **own, ratio=ratio)

    def summary(self, automatic: ResultNumbers, verdict: str) -> ReviewSummary | None:
        """Return the report's summary of the review; None without one."""
        if not (self.decisions or self.readings or self.signatures):
            return None
        found = self.found
        read = (self.readings, self.agreement, self.signatures, self.problems)
        return ReviewSummary(verdict, automatic, found.decided, found.changed, found.open, *read)


def outcome_of(session: Session, result: PatientResult) -> Outcome:
    """Collect the review of a result as the report may show it: without the second reader's decisions before both readings are finished."""
    found = review_patient(session, result)
    decisions: dict[int, Review] = {}
    machine: dict[int, State] = {}
    for share in found.per_slide.values():
        own = valid_in_view(session, share.run_id, share.view)
        decisions |= own
        machine |= machine_states(session, share.run_id, list(own))
    barcodes = {i: session.get_one(Slide, session.get_one(Run, i).slide_id).barcode for i in result.count_run_ids}
    reads = readings(session, result.count_run_ids)
    compared = {i: agreement(session, i) for i in result.count_run_ids}
    signed = sign_offs(session, result.patient_id)
    return Outcome(
        found,
        decisions,
        {cell_id: state_of(review) for cell_id, review in decisions.items()},
        machine,
        tuple(ReadingLine(barcodes[i], r.position, r.reviewer) for i in result.count_run_ids for r in reads.get(i, [])),
        tuple(AgreementLine(barcodes[i], a.cells, a.same, a.kappa, a.open) for i, a in compared.items() if a is not None),
        tuple(
            SignatureLine(
                s.signer,
                s.signed_at,
                s.record["software"],
                s.sha256,
                s.comment,
                amendment.reason if amendment else None,
                amendment.opened_by if amendment else None,
                s.run_id == result.run_id,
                str(head) if (head := head_of(session, s)) else None,
            )
            for s, amendment in signed
        ),
        signature_problems(session, result.patient_id),
    )


def _pattern(counts: Mapping[str, int]) -> str:
    return "-".join(str(n) for n in counts.values())
