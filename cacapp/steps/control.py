"""Step ``control``: healthy donors' slides, and the error budget of patients that follows from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlmodel import Session

from cacapp.db.controls import Control, add_control, control_slides, remove_control
from cacapp.db.engine.session import Database
from cacapp.db.queries import call_totals, copy_histograms, latest_run_ids
from cacapp.db.tables import PatientResult, Run, Slide
from cacapp.exceptions import CacappError, UsageError
from cacapp.fish.assay.model import Assay, parse_assay
from cacapp.fish.control import ControlPool, Cutoff, ErrorBudget, clopper_pearson, cutoffs, error_budget
from cacapp.runs.select import chosen_slides


@dataclass(frozen=True, slots=True)
class ControlLine:
    """A control with its latest count; ``evaluable`` and ``cacs`` are None where it is not counted yet."""

    slide: str
    donor: str
    note: str | None
    run_id: int | None
    method: str | None
    evaluable: int | None
    cacs: int | None


@dataclass(frozen=True, slots=True)
class Normals:
    """What the controls counted in one way say: the pool, the false-CAC rate with its interval, and the cut-offs."""

    method: str
    assay: Assay
    slides: tuple[str, ...]
    pool: ControlPool
    rate: float | None
    rate_low: float
    rate_high: float
    cutoffs: tuple[Cutoff, ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """A patient's error budget, None where no control can be used; ``left_out``: controls that were counted otherwise or not yet."""

    known: ErrorBudget | None
    left_out: tuple[str, ...]


def add(db: Database, barcodes: Sequence[str], note: str | None = None) -> list[str]:
    """Registers slides as healthy donors'; returns those that are new. Raises UsageError for an unknown slide, and writes nothing then."""
    with db.session() as session:
        return [s.barcode for s in _named(session, barcodes) if add_control(session, cast(int, s.id), note)]


def remove(db: Database, barcodes: Sequence[str]) -> list[str]:
    """Takes slides off the controls. Raises UsageError for one that is none."""
    with db.session() as session:
        slides = _named(session, barcodes)
        known = {c.slide.barcode for c in control_slides(session)}
        if none := [s.barcode for s in slides if s.barcode not in known]:
            raise UsageError(f"slide {none[0]} is no control; there are {', '.join(sorted(known)) or 'none'}")
        for slide in slides:
            remove_control(session, cast(int, slide.id))
        return [s.barcode for s in slides]


def listed(db: Database) -> list[ControlLine]:
    """All controls with what their latest count found."""
    with db.reading() as session:
        lines = []
        for control, run in _counted(session):
            totals = None if run is None else call_totals(session, [cast(int, run.id)])
            lines.append(
                ControlLine(
                    control.slide.barcode,
                    control.donor,
                    control.row.note,
                    None if run is None else run.id,
                    None if run is None else method_name(run),
                    None if totals is None else totals.evaluable,
                    None if totals is None else totals.cacs,
                )
            )
        return lines


def normals(db: Database, per_cells: int) -> list[Normals]:
    """The controls' rate and cut-offs, for each way of counting they were counted in.

    Raises CacappError where there are no counted controls.
    """
    with db.reading() as session:
        groups: dict[str, list[tuple[Control, Run]]] = {}
        for control, run in _counted(session):
            if run is not None:
                groups.setdefault(_method(session, run), []).append((control, run))
        if not groups:
            raise CacappError("no counted controls yet; register healthy donors' slides with: cacapp control add SLIDE..., and count them")
        found = []
        for members in groups.values():
            first = members[0][1]
            assay = parse_assay(cast(str, first.assay_toml), f"run {first.id}")
            pool = _pool(session, members)
            low, high = clopper_pearson(pool.cacs, pool.evaluable)
            rate = pool.cacs / pool.evaluable if pool.evaluable else None
            slides = tuple(c.slide.barcode for c, _ in members)
            found.append(Normals(method_name(first), assay, slides, pool, rate, low, high, tuple(cutoffs(pool, assay, per_cells))))
        return found


Pools = dict[tuple[int, ...], ControlPool]
"""Control pools by the count runs in them: what is added up once for many patients."""


def budget_of(session: Session, result: PatientResult, pools: Pools | None = None) -> Budget:
    """The error budget of a patient's result: against the controls of other people counted in the very same way.

    The same way: assay, segmentation and signal algorithms, their versions, parameters and weights are those of the result's newest count.
    """
    everyone = [(c, run) for c, run in _counted(session) if c.slide.patient_id != result.patient_id]
    if not result.count_run_ids or not everyone:
        return Budget(None, tuple(c.slide.barcode for c, _ in everyone))
    newest = session.get_one(Run, max(result.count_run_ids))
    method = _method(session, newest)
    alike = [(c, run) for c, run in everyone if run is not None and _method(session, run) == method]
    used = {c.slide.barcode for c, _ in alike}
    left_out = tuple(c.slide.barcode for c, _ in everyone if c.slide.barcode not in used)
    pools = {} if pools is None else pools
    key = tuple(cast(int, run.id) for _, run in alike)
    pool = pools[key] if key in pools else pools.setdefault(key, _pool(session, alike))
    if pool.evaluable == 0:
        return Budget(None, left_out)
    assay = parse_assay(cast(str, newest.assay_toml), f"run {newest.id}")
    known = error_budget(
        pool,
        assay,
        cells=result.evaluable,
        observed=result.cacs,
        classes=result.classes,
        copies=copy_histograms(session, result.count_run_ids),
    )
    return Budget(known, left_out)


def method_name(run: Run) -> str:
    """How a run counted, in short: assay and detector."""
    names = ", ".join(f"{a['name']} {a['version']}" for a in run.algorithms.get("chosen", []))
    return f"{run.assay_name} {run.assay_version}, {names}"


def _method(session: Session, run: Run) -> str:
    """All that decides a count, but the slide, as one string."""
    source = session.get(Run, run.source_run_id) if run.source_run_id else None
    parts = [run.assay_toml, run.algorithms, None if source is None else (source.algorithms, source.seed)]
    return json.dumps(parts, sort_keys=True)


def _counted(session: Session) -> list[tuple[Control, Run | None]]:
    controls = control_slides(session)
    latest = latest_run_ids(session, "count", [cast(int, c.slide.id) for c in controls])
    return [(c, session.get_one(Run, run_id) if (run_id := latest.get(cast(int, c.slide.id))) else None) for c in controls]


def _pool(session: Session, members: Sequence[tuple[Control, Run]]) -> ControlPool:
    run_ids = [cast(int, run.id) for _, run in members]
    totals = call_totals(session, run_ids)
    donors = len({c.donor for c, _ in members})
    return ControlPool(len(members), donors, totals.evaluable, totals.cacs, totals.classes, copy_histograms(session, run_ids))


def _named(session: Session, barcodes: Sequence[str]) -> list[Slide]:
    if not barcodes:
        raise UsageError("name the slides, by barcode")
    return chosen_slides(session, barcodes)
