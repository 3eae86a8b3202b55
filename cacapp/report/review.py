"""What people decided about a patient's cells: readings, agreement, signatures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cacapp.report.result import ResultNumbers


@dataclass(frozen=True, slots=True)
class ReadingLine:
    """Who read a slide, in which position ("first", "second", "adjudication")."""

    slide: str
    position: str
    reader: str


@dataclass(frozen=True, slots=True)
class AgreementLine:
    """How two readings of a slide agree: cells compared, those with the same label, Cohen's kappa (None where not defined), open ones."""

    slide: str
    cells: int
    same: int
    kappa: float | None
    open: int


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """A signature. ``sha256``: of all that was signed; ``reopened``: the amendment's reason, None while it holds.

    ``head``: number and digest of its link in the chain, which prove later what was recorded up to it.
    """

    signer: str
    signed_at: datetime
    software: str
    sha256: str
    comment: str | None = None
    reopened: str | None = None
    reopened_by: str | None = None
    of_this_result: bool = True
    head: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """What people decided about the software's calls.

    Attributes:
        verdict, result: the software's, before review; the report's own are those after it.
        decided, changed, open: cells a person decided, those whose class is another now, flagged ones nobody decided.
        signatures: oldest first.
        problems: what was changed in the database after it was signed, or around the signatures; empty as long as nothing was.
    """

    verdict: str
    result: ResultNumbers
    decided: int
    changed: int
    open: int
    readings: tuple[ReadingLine, ...] = ()
    agreement: tuple[AgreementLine, ...] = ()
    signatures: tuple[SignatureLine, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def signed(self) -> SignatureLine | None:
        """Return the signature that is valid for this result, if there is one."""
        last = self.signatures[-1] if self.signatures else None
        return last if last is not None and last.reopened is None and last.of_this_result else None
