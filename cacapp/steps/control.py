"""Step ``control``: register the slides of healthy donors; compute the false-CAC rate and the normal cut-offs from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, select

from cacapp.db.controls import Control, add_control, control_slides, remove_control
from cacapp.db.engine.session import Database
from cacapp.db.queries import latest_run_ids
from cacapp.db.tables import Patient, Run, Slide
from cacapp.exceptions import CacappError, UsageError
from cacapp.fish.assay.model import Assay
from cacapp.fish.control import ControlPool, Cutoff, clopper_pearson, cutoffs
from cacapp.report.wording import plural
from cacapp.results.error_budget import counted_controls, method_name, method_of, pool_of
from cacapp.results.tally import assay_of, tally_runs
from cacapp.runs.select import select_slides


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
class ControlStatistics:
    """The controls that were counted with one method: the pool, the false-CAC rate with its interval, and the normal cut-offs."""

    method: str
    assay: Assay
    slides: tuple[str, ...]
    pool: ControlPool
    rate: float | None
    rate_low: float
    rate_high: float
    cutoffs: tuple[Cutoff, ...]


def add(db: Database, barcodes: Sequence[str], note: str | None = None, *, force: bool = False) -> list[str]:
    """Register slides as healthy donors' and return those that were no controls before.

    Args:
        force: register a slide even where its donor's CACs reach the assay's threshold.

    Raises:
        UsageError: an unknown slide, or, without ``force``, CACs as in a patient. Nothing is written then.
    """
    with db.session() as session:
        slides = _named(session, barcodes)
        known = {c.slide.id for c in control_slides(session)}
        for slide in slides:
            if not force and slide.id not in known:
                _require_few_cacs(session, slide)
        return [s.barcode for s in slides if add_control(session, s.id, note)]


def _require_few_cacs(session: Session, slide: Slide) -> None:
    """Raise UsageError where the latest counts of the donor's slides reach the threshold: a patient's CACs would pass for false ones."""
    own = session.exec(select(Slide).where(Slide.patient_id == slide.patient_id)).all()
    volumes = {s.id: s.blood_volume_ul for s in own}
    counted = [session.get_one(Run, run_id) for run_id in latest_run_ids(session, "count", list(volumes)).values()]
    for toml in dict.fromkeys(run.assay_toml for run in counted):
        alike = [run for run in counted if run.assay_toml == toml]
        assay = assay_of(alike[0])
        threshold = assay.patient.threshold_per_100ul
        known = [volume for run in alike if (volume := volumes[run.slide_id]) is not None]
        totals = tally_runs(session, [run.id for run in alike], assay)
        if threshold is None or not totals.cacs:
            continue
        if len(known) == len(alike):
            rate = 100 * totals.cacs / sum(known)
            found = f"{rate:.3g} CACs per 100 µL ({totals.cacs} of {totals.evaluable:,} evaluable nuclei)"
        else:  # compared with the threshold as if the slides were made from 100 µL of blood, since nothing else is known
            rate = totals.cacs
            found = f"{plural(totals.cacs, 'CAC')} of {totals.evaluable:,} evaluable nuclei (blood volume unknown)"
        if rate >= threshold:
            code = session.get_one(Patient, slide.patient_id).code
            raise UsageError(
                f"slide {slide.barcode} of {code}: {found}; assay {assay.name} calls {threshold:g} or more per 100 µL increased, so it "
                "may be a patient, whose CACs would be taken for false ones. If it is a healthy donor, add --force: without such donors "
                "the false-CAC rate is too low"
            )


def remove(db: Database, barcodes: Sequence[str]) -> list[str]:
    """Unregister controls and return their barcodes. Raises UsageError for a slide that is not a control."""
    with db.session() as session:
        slides = _named(session, barcodes)
        known = {c.slide.barcode for c in control_slides(session)}
        if wrong := [s.barcode for s in slides if s.barcode not in known]:
            raise UsageError(f"slide {wrong[0]} is not a control; the controls are: {', '.join(sorted(known)) or 'none'}")
        for slide in slides:
            remove_control(session, slide.id)
        return [s.barcode for s in slides]


def list_controls(db: Database) -> list[ControlLine]:
    """Return all controls with what their latest count found."""
    with db.reading() as session:
        lines = []
        for control, run in counted_controls(session):
            totals = None if run is None else tally_runs(session, [run.id], assay_of(run))
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


def control_statistics(db: Database, per_cells: int) -> list[ControlStatistics]:
    """Return the rate and the cut-offs of the controls, for each method that they were counted with.

    Args:
        per_cells: evaluable nuclei of a patient, for which the largest normal count is computed.

    Raises:
        CacappError: there are no counted controls.
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
            assay = assay_of(first)
            pool = pool_of(session, members)
            low, high = clopper_pearson(pool.cacs, pool.evaluable)
            rate = pool.cacs / pool.evaluable if pool.evaluable else None
            slides = tuple(c.slide.barcode for c, _ in members)
            found.append(
                ControlStatistics(method_name(first), assay, slides, pool, rate, low, high, tuple(cutoffs(pool, assay, per_cells)))
            )
        return found


def _named(session: Session, barcodes: Sequence[str]) -> list[Slide]:
    if not barcodes:
        raise UsageError("name the slides, by barcode")
    return select_slides(session, barcodes)
