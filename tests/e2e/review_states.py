"""Records in which people disagree, have signed, or a slide was counted again; made by the steps, for the pages that show it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cacapp.steps.review.second_reading import finish_second, start_second
from cacapp.steps.review.sign import amend
from tests.e2e.review_server import PROGRAM
from tests.review.conftest import Record, opened
from tests.steps.review.test_carry_over import segmented_beside
from tests.steps.review.test_second_reading_and_signature import sign_now


def decided(path: Path, who: str = "rita") -> Record:
    """Every flagged cell is decided as the software called it."""
    record = opened(str(path))
    for cell in record.flagged():
        record.decide(who, cell.cell_id, "accept")
    return record


def disputed(path: Path) -> Record:
    """Read twice: bert calls the second flagged cell a gain."""
    record = decided(path)
    start_second(record.db, record.run_id, "bert")
    one, two = record.flagged()
    record.decide("bert", one.cell_id, "accept")
    record.decide("bert", two.cell_id, "class", class_="gain")
    finish_second(record.db, record.run_id, "bert")
    return record


def signed(path: Path) -> Record:
    """Decided by rita, signed by paula."""
    record = decided(path)
    sign_now(record)
    return record


def recounted(path: Path) -> Record:
    """Signed, opened again, and counted again: one of both decided nuclei is where it was, the other lies beside itself."""
    record = decided(path)
    last = sign_now(record)
    amend(record.db, record.patient_id, last.id, "paula", "the slide was segmented anew")
    segmented_beside(record, frozenset({record.flagged()[1].cell_id}))
    subprocess.run([*PROGRAM, "count", "S1", "--quiet", "--db", str(path)], check=True)
    return record
