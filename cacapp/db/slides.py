"""Patients, slides and frames: what ingest writes."""

from __future__ import annotations

import math

from sqlmodel import Session, col, select

from cacapp.db.engine.locks import one_at_a_time
from cacapp.db.tables import ChannelRow, FrameRow, Patient, Slide
from cacapp.exceptions import CacappError, UsageError
from cacapp.types import ChannelSource, FrameSource

POSTGRES_REGISTRATION_LOCK = 0xCACA51


def register_slide(
    session: Session, patient_code: str, barcode: str, blood_volume_ul: float | None = None, notes: str | None = None
) -> Slide:
    """The slide ``barcode`` of a patient, made where it is new. Others who register slides wait until this transaction ends.

    Args:
        patient_code: pseudonym.
        blood_volume_ul: what the slide stands for, µL; None: unknown, or as it was registered before.
        notes: replace the slide's notes where given.

    Raises:
        UsageError: an empty code or barcode, or a volume that is not a positive number.
        CacappError: the slide is another patient's, or was registered with another volume.
    """
    if not patient_code.strip() or not barcode.strip():
        raise UsageError("a slide needs a patient code and a barcode (--patient, --slide), and neither may be empty")
    if blood_volume_ul is not None and not (math.isfinite(blood_volume_ul) and blood_volume_ul > 0):
        raise UsageError(f"slide {barcode}: a blood volume of {blood_volume_ul:g} µL cannot be; give a positive number, or none if unknown")
    one_at_a_time(session, POSTGRES_REGISTRATION_LOCK)
    slide = session.exec(select(Slide).where(Slide.barcode == barcode)).one_or_none()
    patient = _patient(session, patient_code)
    if slide is None:
        slide = Slide(patient_id=_id(patient.id), barcode=barcode, blood_volume_ul=blood_volume_ul, notes=notes)
        session.add(slide)
        session.flush()
        return slide
    if slide.patient_id != patient.id:
        owner = session.get_one(Patient, slide.patient_id)
        raise CacappError(f"slide {barcode} belongs to patient {owner.code}, not {patient_code}; check the barcode")
    if blood_volume_ul is not None and slide.blood_volume_ul is not None and blood_volume_ul != slide.blood_volume_ul:
        raise CacappError(
            f"slide {barcode} is registered with {slide.blood_volume_ul:g} µL, not {blood_volume_ul:g} µL; which one is right?"
        )
    if slide.blood_volume_ul is None:
        slide.blood_volume_ul = blood_volume_ul
    if notes is not None:
        slide.notes = notes
    session.flush()
    return slide


def add_frame(session: Session, slide: Slide, source: FrameSource) -> FrameRow | None:
    """Add a frame to a slide; None where the same pixels, read the same way, are there already.

    Raises:
        CacappError: the file belongs to another slide, was added to this one with other settings, or its name stands for another file.
    """
    slide_id = _id(slide.id)
    elsewhere = session.exec(
        select(FrameRow.name, Slide.barcode).join(Slide).where(FrameRow.sha256 == source.sha256, FrameRow.slide_id != slide_id)
    ).first()
    if elsewhere is not None:
        name, barcode = elsewhere
        raise CacappError(f"{source.uri} is frame {name} of slide {barcode} already; it cannot belong to slide {slide.barcode} too")
    same = session.exec(
        select(FrameRow).where(FrameRow.slide_id == slide_id, FrameRow.sha256 == source.sha256, FrameRow.scene == source.scene)
    ).one_or_none()
    if same is not None:
        _require_same_reading(session, same, source)
        return None
    if session.exec(select(FrameRow.id).where(FrameRow.slide_id == slide_id, FrameRow.name == source.name)).first() is not None:
        raise CacappError(
            f"{source.uri}: slide {slide.barcode} has a frame {source.name} with other content; "
            "rename the file, or use a new slide if it was scanned again"
        )
    row = FrameRow(
        slide_id=slide_id,
        name=source.name,
        uri=source.uri,
        sha256=source.sha256,
        scene=source.scene,
        projection=source.projection,
        height_px=source.height_px,
        width_px=source.width_px,
        dtype=source.dtype,
        pixel_size_um=source.pixel_size_um,
        stage_x_um=source.stage_x_um,
        stage_y_um=source.stage_y_um,
    )
    session.add(row)
    session.flush()
    session.add_all(
        ChannelRow(
            frame_id=_id(row.id),
            index=index,
            name=channel.name,
            found_as=channel.found_as,
            uri=channel.uri,
            source_index=channel.index,
            sha256=channel.sha256,
            exposure_ms=channel.exposure_ms,
        )
        for index, channel in enumerate(source.channels)
    )
    session.flush()
    return row


def frame_source(session: Session, row: FrameRow) -> FrameSource:
    """What ``add_frame`` was given, exactly."""
    channels = session.exec(select(ChannelRow).where(ChannelRow.frame_id == row.id).order_by(col(ChannelRow.index)))
    return FrameSource(
        name=row.name,
        uri=row.uri,
        sha256=row.sha256,
        scene=row.scene,
        projection=row.projection,
        height_px=row.height_px,
        width_px=row.width_px,
        dtype=row.dtype,
        pixel_size_um=row.pixel_size_um,
        channels=tuple(ChannelSource(c.name, c.found_as, c.uri, c.source_index, c.sha256, c.exposure_ms) for c in channels),
        stage_x_um=row.stage_x_um,
        stage_y_um=row.stage_y_um,
    )


def frames_of(session: Session, slide_id: int) -> list[FrameRow]:
    """The slide's frames by name."""
    return list(session.exec(select(FrameRow).where(FrameRow.slide_id == slide_id).order_by(col(FrameRow.name))))


def _require_same_reading(session: Session, row: FrameRow, source: FrameSource) -> None:
    known = frame_source(session, row)
    differences = [
        f"{what} {was} and now {now}"
        for what, was, now in (
            ("projection", known.projection, source.projection),
            ("pixel size", known.pixel_size_um, source.pixel_size_um),
            ("channels", _channel_order(known), _channel_order(source)),
        )
        if was != now
    ]
    if differences:
        raise CacappError(f"{source.uri} was ingested with {', '.join(differences)}; use a new slide, or the same settings as before")


def _channel_order(source: FrameSource) -> str:
    return " ".join(f"{channel.name}={channel.found_as}" for channel in source.channels)


def _patient(session: Session, code: str) -> Patient:
    """The patient of that code, made where there is none."""
    patient = session.exec(select(Patient).where(Patient.code == code)).one_or_none()
    if patient is None:
        patient = Patient(code=code)
        session.add(patient)
        session.flush()
    return patient


def _id(value: int | None) -> int:
    assert value is not None, "the row was flushed"
    return value
