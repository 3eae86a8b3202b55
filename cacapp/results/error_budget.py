"""The false CACs to expect in a patient, from the controls of other people that were counted with the same method."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from cacapp.db.cells.tallies import copy_histograms
from cacapp.db.controls import Control, control_slides
from cacapp.db.queries import latest_run_ids
from cacapp.db.tables import PatientResult, Run
from cacapp.fish.control import ControlPool, ErrorBudget, error_budget
from cacapp.results.tally import assay_of, tally_runs


@dataclass(frozen=True, slots=True)
class Budget:
    """A patient's error budget. ``known``: None without a usable control; ``left_out``: controls counted otherwise or not yet."""

    known: ErrorBudget | None
    left_out: tuple[str, ...]


Pools = dict[tuple[int, ...], ControlPool]
"""Control pools by the count runs in them: what is added up once for many patients."""


def budget_of(session: Session, result: PatientResult, pools: Pools | None = None) -> Budget:
    """Compare a patient's result with the controls of other people that were counted with the same method.

    The same way: assay, segmentation and signal algorithms, their versions, parameters and weights are those of the result's newest count.
    """
    if not result.count_run_ids:
        return Budget(None, tuple(c.slide.barcode for c in control_slides(session) if c.slide.patient_id != result.patient_id))
    newest = session.get_one(Run, max(result.count_run_ids))
    controls = counted_controls(session, newest.assay_toml)
    everyone = [(c, run) for c, run in controls if c.slide.patient_id != result.patient_id]
    if not everyone:
        return Budget(None, ())
    method = method_of(session, newest)
    alike = [(c, run) for c, run in everyone if run is not None and method_of(session, run) == method]
    used = {c.slide.barcode for c, _ in alike}
    left_out = tuple(c.slide.barcode for c, _ in everyone if c.slide.barcode not in used)
    pools = {} if pools is None else pools
    key = tuple(run.id for _, run in alike)
    pool = pools[key] if key in pools else pools.setdefault(key, pool_of(session, alike))
    if pool.evaluable == 0:
        return Budget(None, left_out)
    known = error_budget(
        pool,
        assay_of(newest),
        cells=result.evaluable,
        observed=result.cacs,
        classes=result.classes,
        copies=copy_histograms(session, result.count_run_ids),
    )
    return Budget(known, left_out)


def method_name(run: Run) -> str:
    """Return a run's method in short: assay and detector."""
    names = ", ".join(f"{a['name']} {a['version']}" for a in run.algorithms.get("chosen", []))
    return f"{run.assay_name} {run.assay_version}, {names}"


def method_of(session: Session, run: Run) -> str:
    """Return all that decides a count, except the slide, as one string."""
    source = session.get(Run, run.source_run_id) if run.source_run_id else None
    parts = [run.assay_toml, run.algorithms, None if source is None else (source.algorithms, source.seed)]
    return json.dumps(parts, sort_keys=True)


def counted_controls(session: Session, assay_toml: str | None = None) -> list[tuple[Control, Run | None]]:
    """Return every control with its latest count, or its latest count with this assay; None where there is none."""
    controls = control_slides(session)
    latest = latest_run_ids(session, "count", [c.slide.id for c in controls], assay_toml)
    return [(c, session.get_one(Run, run_id) if (run_id := latest.get(c.slide.id)) else None) for c in controls]


def pool_of(session: Session, members: Sequence[tuple[Control, Run]]) -> ControlPool:
    """Add up controls that were counted in the same way; an empty pool without any."""
    if not members:
        return ControlPool(0, 0, 0, 0)
    run_ids = [run.id for _, run in members]
    total = tally_runs(session, run_ids, assay_of(members[0][1]))
    donors = len({c.donor for c, _ in members})
    return ControlPool(len(members), donors, total.evaluable, total.cacs, total.classes, copy_histograms(session, run_ids))
