"""Step ``ingest``: files to slides and frames in the database. Pixels stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from cacapp.db.session import Database
from cacapp.db.slides import add_frame, frames_of, register_slide
from cacapp.errors import CacappError
from cacapp.frames import BadFile, discover, parse_channels
from cacapp.steps.manifest import SlideRequest
from cacapp.steps.progress import Progress, Silent
from cacapp.types import CHANNELS, FrameSource


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What was added of a slide: new frames, frames that were there already, and (file, error) of what was refused."""

    patient: str
    slide: str
    added: int
    known: int
    refused: tuple[tuple[str, str], ...]


def ingest(
    db: Database, requests: Sequence[SlideRequest], required: Sequence[str] = CHANNELS, progress: Progress | None = None
) -> list[IngestReport]:
    """Adds the slides and their frames, each slide in one transaction; files that are no frames are reported, the others go in.

    Args:
        required: channel names every frame must have, DAPI first.

    Raises:
        UsageError: nothing has been written for this and the following slides.
        CacappError: a slide is claimed by two patients, or none of its files is a frame.
    """
    progress = progress or Silent()
    return [_ingest(db, request, required, progress) for request in requests]


def _ingest(db: Database, request: SlideRequest, required: Sequence[str], progress: Progress) -> IngestReport:
    mapping = parse_channels(request.channels) if request.channels else None
    paths = [str(p.absolute()) for p in request.paths]
    found: list[FrameSource] = []
    refused: list[tuple[str, str]] = []
    progress.start(f"ingest {request.slide}", 0)
    for item in discover(paths, pattern=request.pattern, channels=mapping, required=required, projection=request.projection):
        if isinstance(item, BadFile):
            refused.append((item.uri, item.error))
            progress.warn(f"ingest: {item.error}" if item.uri in item.error else f"ingest: {item.uri}: {item.error}")
        else:
            found.append(item)
            progress.advance(item.name)
    if not found:
        why = f"none of {len(refused)} files could be used" if refused else "no image files there"
        raise CacappError(f"slide {request.slide}: nothing to ingest under {', '.join(str(p) for p in request.paths)}: {why}")
    if request.blood_volume_ul is None:
        progress.warn(f"slide {request.slide}: blood volume unknown: counts only, the verdict will be undetermined")
    with db.session() as session:
        slide = register_slide(session, request.patient, request.slide, request.blood_volume_ul, request.notes)
        added = sum(add_frame(session, slide, source) is not None for source in found)
        sizes = {(f.height_px, f.width_px): f.name for f in frames_of(session, cast(int, slide.id))}
    if len(sizes) > 1:
        listed = ", ".join(f"{w} x {h} ({name})" for (h, w), name in sorted(sizes.items()))
        progress.warn(f"slide {request.slide}: frames of different size: {listed}; each is analysed at its own size")
    unsized = [f.name for f in found if f.pixel_size_um is None]
    if unsized:
        progress.warn(
            f"slide {request.slide}: no pixel size in {len(unsized)} frames ({unsized[0]}): sizes are judged against the frame's own nuclei"
        )
    return IngestReport(request.patient, request.slide, added, len(found) - added, tuple(refused))
