"""Step ``control``: healthy donors' slides, and the error budget of patients that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlmodel import Session

from cacapp.db.controls import Control, add_control, control_slides, remove_control
from cacapp.db.engine.session import Database
from cacapp.db.queries import call_totals
from cacapp.db.tables import Run, Slide
from cacapp.exceptions import CacappError, UsageError
from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.read import parse_assay
from cacapp.fish.control import ControlPool, Cutoff, clopper_pearson, cutoffs
from cacapp.results.error_budget import counted_controls, method_name, method_of, pool_of
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


def add(db: Database, barcodes: Sequence[str], note: str | None = None) -> list[str]:
    """Registers slides as healthy donors'; returns those that are new. Raises UsageError for an unknown slide, and writes nothing then."""
    with db.session() as session:
        return [s.barcode for s in _named(session, barcodes) if add_control(session, s.id, note)]


def remove(db: Database, barcodes: Sequence[str]) -> list[str]:
    """Takes slides off the controls. Raises UsageError for one that is none."""
    with db.session() as session:
        slides = _named(session, barcodes)
        known = {c.slide.barcode for c in control_slides(session)}
        if none := [s.barcode for s in slides if s.barcode not in known]:
            raise UsageError(f"slide {none[0]} is no control; there are {', '.join(sorted(known)) or 'none'}")
        for slide in slides:
            remove_control(session, slide.id)
        return [s.barcode for s in slides]


def listed(db: Database) -> list[ControlLine]:
    """All controls with what their latest count found."""
    with db.reading() as session:
        lines = []
        for control, run in counted_controls(session):
            totals = None if run is None else call_totals(session, [run.id])
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
        for control, run in counted_controls(session):
            if run is not None:
                groups.setdefault(method_of(session, run), []).append((control, run))
        if not groups:
            raise CacappError("no counted controls yet; register healthy donors' slides with: cacapp control add SLIDE..., and count them")
        found = []
        for members in groups.values():
            first = members[0][1]
            assay = parse_assay(cast(str, first.assay_toml), f"run {first.id}")
            pool = pool_of(session, members)
            low, high = clopper_pearson(pool.cacs, pool.evaluable)
            rate = pool.cacs / pool.evaluable if pool.evaluable else None
            slides = tuple(c.slide.barcode for c, _ in members)
            found.append(Normals(method_name(first), assay, slides, pool, rate, low, high, tuple(cutoffs(pool, assay, per_cells))))
        return found


def _named(session: Session, barcodes: Sequence[str]) -> list[Slide]:
    if not barcodes:
        raise UsageError("name the slides, by barcode")
    return chosen_slides(session, barcodes)
