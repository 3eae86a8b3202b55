"""The patient's page checks signatures once for all who look, and again after each signature and after a while."""

from __future__ import annotations

import pytest

from cacapp.db.review.readings import sign_offs
from cacapp.review import signatures as module
from cacapp.review.signatures import SignatureChecks
from tests.review.conftest import Record


def test_a_check_holds_for_a_while_and_until_the_next_signature(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(module, "signature_problems", lambda _session, patient: (made.append(patient), (f"check {len(made)}",))[1])
    checks = SignatureChecks()
    with record.db.reading() as session:
        signed = sign_offs(session, record.patient_id)
        assert checks.problems(session, 1, signed) == checks.problems(session, 1, signed) == ("check 1",)
        assert checks.problems(session, 2, signed) == ("check 2",)
        monkeypatch.setattr(module, "VALID_S", -1)
        assert checks.problems(session, 1, signed) == ("check 3",)
