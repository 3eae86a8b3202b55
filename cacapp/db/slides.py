"""Patients, slides and frames, as ingest writes them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sqlmodel import Session, col, select

from cacapp.db.engine.locks import hold_lock
from cacapp.db.tables import ChannelRow, FrameRow, Patient, Slide
from cacapp.exceptions import CacappError, UsageError
from cacapp.types import ChannelSource, FrameSource

POSTGRES_REGISTRATION_LOCK = 0xCACA51


def register_slide(
    session: Session, patient_code: str, barcode: str, blood_volume_ul: float | None = None, notes: str | None = None
) -> Slide:
    """Return the slide ``barcode`` of a patient; create it if it is new. Others who register slides wait until this transaction ends.

    Args:
        patient_code: pseudonym.
        blood_volume_ul: volume of blood from which the slide was made, µL; None: unknown, or as it was registered before.
        notes: replace the slide's notes where given.

    Raises:
        UsageError: an empty code or barcode, or a volume that is not a positive number.
        CacappError: the slide is another patient's, or was registered with another volume.
    """
    if not patient_code.strip() or not barcode.strip():
        raise UsageError("a slide needs a patient code and a barcode (--patient, --slide), and neither may be empty")
    if blood_volume_ul is not None and not (math.isfinite(blood_volume_ul) and blood_volume_ul > 0):
        raise UsageError(f"slide {barcode}: a blood volume of {blood_volume_ul:g} µL cannot be; give a positive number, or none if unknown")
    hold_lock(session, POSTGRES_REGISTRATION_LOCK)
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


@dataclass(frozen=True, slots=True)
class SamePixels:
    """A channel of a frame that shows the pixels of another channel in the database or of the frame itself."""

    channel: str
    other_channel: str
    frame: str
    slide: str
    patient: str

    def __str__(self) -> str:
        own = "" if self.channel == self.other_channel else f", channel {self.other_channel}"
        return f"has in channel {self.channel} the same pixels as frame {self.frame} of slide {self.slide}, patient {self.patient}{own}"


def same_pixels(session: Session, slide: Slide, source: FrameSource) -> SamePixels | None:
    """Return the first channel with the pixels of another frame, of another patient if there is one; the frame itself is none."""
    digests = {c.pixels_sha256: c.name for c in reversed(source.channels) if c.pixels_sha256}
    query = (
        select(ChannelRow, FrameRow, Slide)
        .join(FrameRow, col(FrameRow.id) == ChannelRow.frame_id)
        .join(Slide, col(Slide.id) == FrameRow.slide_id)
        .where(col(ChannelRow.pixels_sha256).in_(digests))
        .order_by(col(Slide.patient_id) == slide.patient_id, col(FrameRow.id), col(ChannelRow.index))
    )
    for channel, frame, other in session.exec(query):
        if frame.sha256 == source.sha256 and (frame.scene == source.scene or other.id != slide.id):
            continue  # the same file: add_frame tells
        owner = session.get_one(Patient, other.patient_id)
        return SamePixels(digests[channel.pixels_sha256 or ""], channel.name, frame.name, other.barcode, owner.code)
    return None


def add_frame(session: Session, slide: Slide, source: FrameSource, same_pixels_allowed: str | None = None) -> FrameRow | None:
    """Add a frame to a slide; return None if the same file, read the same way, is there already. ``same_pixels_allowed``: who allowed it.

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
        _complete_digests(session, same, source)
        if source.pixel_size_source is not None:
            same.pixel_size_um, same.pixel_size_source = source.pixel_size_um, source.pixel_size_source
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
        pixel_size_source=source.pixel_size_source,
        reader=source.reader,
        reader_version=source.reader_version,
        same_pixels=same_pixels_allowed,
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
            pixels_sha256=channel.pixels_sha256,
            plane_sha256=channel.plane_sha256,
        )
        for index, channel in enumerate(source.channels)
    )
    session.flush()
    return row


def frame_source(session: Session, row: FrameRow) -> FrameSource:
    """Return the source that ``add_frame`` stored."""
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
        channels=tuple(
            ChannelSource(c.name, c.found_as, c.uri, c.source_index, c.sha256, c.exposure_ms, c.pixels_sha256, c.plane_sha256)
            for c in channels
        ),
        stage_x_um=row.stage_x_um,
        stage_y_um=row.stage_y_um,
        pixel_size_source=row.pixel_size_source,
        reader=row.reader,
        reader_version=row.reader_version,
    )


def frames_of(session: Session, slide_id: int) -> list[FrameRow]:
    """Return the slide's frames by name."""
    return list(session.exec(select(FrameRow).where(FrameRow.slide_id == slide_id).order_by(col(FrameRow.name))))


def _complete_digests(session: Session, row: FrameRow, source: FrameSource) -> None:
    """Add the digests of pixels to a frame that was ingested before there were any."""
    digests = {channel.name: channel.pixels_sha256 for channel in source.channels}
    for channel in session.exec(select(ChannelRow).where(ChannelRow.frame_id == row.id, col(ChannelRow.pixels_sha256).is_(None))):
        channel.pixels_sha256 = digests.get(channel.name)


def _require_same_reading(session: Session, row: FrameRow, source: FrameSource) -> None:
    known = frame_source(session, row)
    was, now = known.reader and known.reader_version, source.reader and source.reader_version
    if was and now and (known.reader, was.rpartition(" ")[0]) != (source.reader, now.rpartition(" ")[0]):
        raise CacappError(
            f"{source.uri} was ingested with the reader {known.reader!r} of {was}, and {source.reader!r} of {now} reads it now; "
            "keep the new one out with --no-plugin, or use a new slide"
        )
    stated = known.pixel_size_source or source.pixel_size_source
    differences = [
        f"{what} {was} and now {now}"
        for what, was, now in (
            ("projection", known.projection, source.projection),
            ("pixel size", known.pixel_size_um, known.pixel_size_um if stated else source.pixel_size_um),
            ("channels", _channel_order(known), _channel_order(source)),
        )
        if was != now
    ]
    if differences:
        raise CacappError(f"{source.uri} was ingested with {', '.join(differences)}; use a new slide, or the same settings as before")


def _channel_order(source: FrameSource) -> str:
    return " ".join(f"{channel.name}={channel.found_as}" for channel in source.channels)


def _patient(session: Session, code: str) -> Patient:
    """Return the patient with this code; create it if it is new."""
    patient = session.exec(select(Patient).where(Patient.code == code)).one_or_none()
    if patient is None:
        patient = Patient(code=code)
        session.add(patient)
        session.flush()
    return patient


def _id(value: int | None) -> int:
    assert value is not None, "the row was flushed"
    return value
