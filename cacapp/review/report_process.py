"""A child process of the review server that builds reports, so that neither their memory nor their time is the server's."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import numpy as np

from cacapp.db.engine.session import open_database
from cacapp.db.queries import latest_results
from cacapp.db.tables import Patient
from cacapp.exceptions import CacappError
from cacapp.report.html import render_html
from cacapp.report.patient_page import OtherAssay
from cacapp.review.pdf import pdf_of
from cacapp.runs.progress import Silent
from cacapp.steps.report.write import build_report

LOWER_PRIORITY = 5
"""Added to the process' nice value: pages come first."""


def handlers(_arguments: list[str]) -> dict[str, Any]:
    """Return the operation "build" for cacapp.processes.child."""
    with suppress(AttributeError, OSError):
        os.nice(LOWER_PRIORITY)
    return {"build": build}


def build(meta: dict[str, Any], _arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the bytes of a patient's report as array "report" (n,) uint8.

    ``meta``: ``db``, path or URL; ``environment``, variables that the connection needs; ``patient_id``; ``pdf``: a PDF instead of HTML.
    """
    os.environ.update(meta["environment"])
    db = open_database(meta["db"], create=False)
    try:
        with db.reading() as session:
            patient = session.get_one(Patient, meta["patient_id"])
            results = latest_results(session, patient.id)
        if not results or not results[0].count_run_ids:
            raise CacappError("there is no result to report yet")
        others = [OtherAssay(other.assay_name, other.assay_version) for other in results[1:]]
        html = render_html(build_report(db, patient.code, results[0], Silent(), others))
    finally:
        db.dispose()
    return {}, {"report": np.frombuffer(pdf_of(html) if meta["pdf"] else html.encode(), np.uint8)}
