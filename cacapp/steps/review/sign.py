"""Step ``sign``: sign a patient's reviewed result with its provenance, and open it again for a reason."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any, cast

from sqlalchemy import select
from sqlmodel import Session, col

from cacapp import __version__
from cacapp.db.engine.session import Database
from cacapp.db.queries import latest_run_ids, newest_result
from cacapp.db.review.chain import append
from cacapp.db.review.readings import digest, digest_of_reviews, latest_sign_offs, readings, reviews, write_event
from cacapp.db.review.signed_content import content_of
from cacapp.db.review.tables import Amendment, SignOff
from cacapp.db.tables import Patient, PatientResult, Run, Slide, now
from cacapp.exceptions import UsageError
from cacapp.fish.patient import PatientOutcome
from cacapp.results.agreement import agreement
from cacapp.results.reviewed import Reviewed, review_patient
from cacapp.steps.review.decide import ConflictError


def open_points(session: Session, patient_id: int, result: PatientResult, found: Reviewed | None = None) -> list[str]:
    """Return what has to be done before the result can be signed, in words; empty if it can be signed.

    ``found``: the result after the reviews that hold, as ``review_patient`` computes it; None: it is computed.
    """
    slides = list(session.execute(select(Slide).where(col(Slide.patient_id) == patient_id).order_by(col(Slide.barcode))).scalars())
    latest = latest_run_ids(session, "count", [s.id for s in slides])
    if sorted(latest.values()) != sorted(result.count_run_ids):
        missing = [s.barcode for s in slides if latest.get(s.id) not in result.count_run_ids]
        return [f"the result leaves out the latest count of slide {', '.join(missing)}; run: cacapp count"]
    found = found or review_patient(session, result)
    points = []
    for slide in slides:
        own = found.per_slide.get(slide.id)
        if own is None:
            points.append(f"slide {slide.barcode} is not counted yet")
            continue
        if own.open:
            points.append(f"slide {slide.barcode}: {own.open} flagged cell{'s' * (own.open != 1)} not decided yet")
        if own.view.second == "open":
            points.append(f"slide {slide.barcode}: the second reading is not finished")
        compared = agreement(session, own.run_id)
        if compared is not None and compared.open:
            points.append(f"slide {slide.barcode}: {compared.open} disagreement{'s' * (compared.open != 1)} to settle")
    return points


def sign(db: Database, patient_id: int, signer: str, *, run_id: int, seen: int, comment: str | None = None, address: str = "") -> SignOff:
    """Sign the patient's newest result after review. The caller has checked the signer's password.

    Args:
        run_id: the result's run that the signer saw.
        seen: number of the newest review the signer saw.

    Raises:
        ConflictError: it is signed already, was counted or reviewed after the signer opened it, or something is still open.
    """
    with db.session() as session:
        session.execute(select(col(Patient.id)).where(col(Patient.id) == patient_id).with_for_update())
        result = newest_result(session, patient_id)
        if result is None or not result.count_run_ids:
            raise ConflictError("there is no result to sign yet")
        if result.run_id != run_id:
            raise ConflictError("the patient's slides were counted again after you opened the page; look at it again")
        previous = latest_sign_offs(session, [patient_id]).get(patient_id)
        if previous is not None and previous[1] is None:
            raise ConflictError("this result is signed already")
        rows = reviews(session, result.count_run_ids)
        newest = rows[-1].id if rows else 0
        if newest != seen:
            raise ConflictError("cells were decided after you opened the page; look at it again")
        if points := open_points(session, patient_id, result):
            raise ConflictError(f"not ready to sign: {'; '.join(points)}")
        moment = now()
        record = _record(session, patient_id, result, signer, moment.isoformat(), comment)
        record["reviews"] = {"rows": len(rows), "newest": newest, "sha256": digest_of_reviews(rows)}
        record["content"] = content_of(session, result.run_id, patient_id)
        signed = SignOff(
            patient_id=patient_id,
            run_id=result.run_id,
            signer=signer,
            signed_at=moment,
            comment=(comment or "").strip() or None,
            record=record,
            previous_id=previous[0].id if previous else None,
            sha256=digest(record, previous[0].sha256 if previous else None),
        )
        append(session, signed)
        write_event(session, signer, "signed", f"patient {record['patient']}", address, sign_off=signed.id, sha256=signed.sha256)
        return signed


def amend(db: Database, patient_id: int, sign_off_id: int, who: str, reason: str, address: str = "") -> None:
    """Open a signed result again; it then needs a new signature. Raises UsageError without a reason, ConflictError if it is open."""
    if not reason.strip():
        raise UsageError("an amendment needs a reason")
    with db.session() as session:
        session.execute(select(col(Patient.id)).where(col(Patient.id) == patient_id).with_for_update())
        signed = latest_sign_offs(session, [patient_id]).get(patient_id)
        if signed is None or signed[0].id != sign_off_id:
            raise ConflictError("there is no such signature to amend; look at the page again")
        if signed[1] is not None:
            raise ConflictError("this result is open again already")
        append(session, Amendment(sign_off_id=sign_off_id, opened_by=who, reason=reason.strip()))
        code = session.get_one(Patient, patient_id).code
        write_event(session, who, "opened again", f"patient {code}", address, sign_off=sign_off_id, reason=reason.strip())


def _record(session: Session, patient_id: int, result: PatientResult, signer: str, moment: str, comment: str | None) -> dict[str, Any]:
    found = review_patient(session, result)
    runs = [session.get_one(Run, i) for i in result.count_run_ids]
    sources = [session.get_one(Run, r.source_run_id) for r in runs if r.source_run_id]
    read = [r for own in readings(session, result.count_run_ids).values() for r in own]
    kappas = {str(i): None if (a := agreement(session, i)) is None else a.kappa for i in result.count_run_ids}
    record = {
        "patient": session.get_one(Patient, patient_id).code,
        "signer": signer,
        "signed_at": moment,
        "comment": (comment or "").strip() or None,
        "software": __version__,
        "automatic": numbers_record(found.automatic),
        "reviewed": numbers_record(found.reviewed),
        "decided": found.decided,
        "changed": found.changed,
        "frames": result.frames,
        "frames_failed": result.frames_failed,
        "slides": sorted(session.get_one(Slide, r.slide_id).barcode for r in runs),
        "runs": [_run_record(r) for r in (*sources, *runs)],
        "readers": sorted([r.run_id, r.position, r.reviewer] for r in read),
        "kappa": kappas,
    }
    return cast(dict[str, Any], json.loads(json.dumps(record)))


def numbers_record(numbers: PatientOutcome) -> dict[str, Any]:
    """Return a result as JSON values."""
    return asdict(numbers) | {"ratio": None if numbers.ratio is None else numbers.ratio.record()}


def _run_record(run: Run) -> dict[str, Any]:
    assay = None
    if run.assay_toml is not None:
        sha256 = hashlib.sha256(run.assay_toml.encode()).hexdigest()
        assay = {"name": run.assay_name, "version": run.assay_version, "sha256": sha256}
    return {
        "run": run.id,
        "step": run.step,
        "fingerprint": run.fingerprint,
        "software": run.app_version,
        "algorithms": run.algorithms,
        "weights_sha256": run.weights_sha256,
        "seed": run.seed,
        "device": run.device,
        "assay": assay,
    }
