"""Checks of signatures for the patient's page: a large patient's takes seconds, so that it is made once for all who look."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from sqlmodel import Session

from cacapp.db.review.tables import Amendment, SignOff
from cacapp.results.signature import signature_problems

VALID_S = 30.0
"""A check is repeated after this time, and after each signature and amendment."""


class SignatureChecks:
    """The latest check of each patient's signatures. Safe to use from many threads; simultaneous pages check once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[int, threading.Lock] = {}
        self._found: dict[int, tuple[float, object, tuple[str, ...]]] = {}

    def problems(self, session: Session, patient_id: int, signed: Sequence[tuple[SignOff, Amendment | None]]) -> tuple[str, ...]:
        """Return what is wrong with a patient's signatures, in words, as it was VALID_S ago at most. ``signed``: all of them."""
        key = [(sign_off.id, amendment is not None) for sign_off, amendment in signed]
        with self._lock:
            lock = self._locks.setdefault(patient_id, threading.Lock())
        with lock:
            checked_at, known, found = self._found.get(patient_id, (0.0, None, ()))
            if known != key or time.monotonic() - checked_at > VALID_S:
                found = signature_problems(session, patient_id)
                self._found[patient_id] = (time.monotonic(), key, found)
            return found
