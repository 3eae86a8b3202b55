"""Tallies of count runs, which are added up to patients' results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sqlmodel import Session

from cacapp.db.cells.tallies import call_groups, signal_totals
from cacapp.db.tables import Run
from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.read import parse_assay
from cacapp.fish.patient import SlideTally, tally


def assay_of(run: Run) -> Assay:
    """Return the assay that a count run was made with."""
    return parse_assay(cast(str, run.assay_toml), f"run {run.id}")


def tally_runs(session: Session, run_ids: Sequence[int], assay: Assay, blood_volume_ul: float | None = None) -> SlideTally:
    """Add up the stored calls of count runs by the assay's rules."""
    signals = {} if assay.ratio is None else signal_totals(session, run_ids)
    return tally(call_groups(session, run_ids), assay, blood_volume_ul, signals)
