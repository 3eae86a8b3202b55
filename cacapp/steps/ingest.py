"""Step ``ingest``: files to slides and frames in the database. Pixels stay where they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from getpass import getuser

from cacapp.db.engine.session import Database
from cacapp.db.slides import add_frame, frames_of, register_slide, same_pixels
from cacapp.engine import cores
from cacapp.exceptions import CacappError
from cacapp.frames import BadFile, Readers, discover, extend_aliases, parse_channels
from cacapp.frames.several_slides import groups_numbered_alike
from cacapp.host import Host
from cacapp.pseudonyms import resembles
from cacapp.report.wording import plural
from cacapp.runs.plan import SlideRequest
from cacapp.runs.progress import Progress, Silent
from cacapp.types import CHANNELS, FrameSource

READERS = 4
"""Files hashed at a time; more would make a disk with a moving head slower."""

PIXEL_UM = (0.02, 0.8)
"""Edge lengths of a pixel at which nuclei with signals can be seen, µm."""
NUCLEUS_UM = 10

_OTHER_FRAME = re.compile(r"(?<=frame ).+?(?= of slide | with other content)")


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Result of the ingest of one slide.

    Attributes:
        patient, slide: pseudonym and barcode.
        added, known: new frames, and frames that were there already.
        refused: (file, error) of each refused file.
        error: reason why nothing was added, None where the slide was added.
    """

    patient: str
    slide: str
    added: int
    known: int
    refused: tuple[tuple[str, str], ...]
    error: str | None = None


def ingest(
    db: Database,
    requests: Sequence[SlideRequest],
    required: Sequence[str] = CHANNELS,
    progress: Progress | None = None,
    aliases: Mapping[str, Sequence[str]] | None = None,
    *,
    searched: Callable[[int], None] = lambda files: None,
    found: Callable[[FrameSource], None] = lambda source: None,
    readers: int | None = None,
    plugins: Callable[[], Host] | None = None,
) -> list[IngestReport]:
    """Add the slides and their frames, each slide in one transaction. A refused file or slide does not affect the others.

    Args:
        required: channel names every frame must have, DAPI first.
        aliases: further names of each channel in files, as the assay lists them.
        searched: called before anything is read, with the number of files, or sets of files, of all slides.
        found: called with each frame as soon as it is found.
        readers: files hashed at a time; None: as many as there are cores, up to ``READERS``.
        plugins: gives the plugins, of which the readers are asked for files that cacapp's own do not read; None: there are none.

    Raises:
        UsageError: an option of a slide is wrong; nothing has been written.
        CacappError: no slide could be added: claimed by another patient, or none of its files is a frame.
    """
    progress = progress or Silent()
    for code in dict.fromkeys(request.patient for request in requests):
        looks = resembles(code)
        if looks is not None:
            progress.warn(
                f"patient {code!r} looks like {looks}: the database, reports and exports show it; "
                "use a pseudonym, and keep the list of who is who elsewhere"
            )
    files: list[int] = []
    readers = min(READERS, cores() if readers is None else readers)
    installed = Readers(plugins)
    searches = [_search(request, required, aliases or {}, readers, files.append, installed) for request in requests]
    searched(sum(files))
    progress.start("ingest", 0)
    reports: list[IngestReport] = []
    errors: list[CacappError] = []
    for request, items in zip(requests, searches, strict=True):
        try:
            reports.append(_ingest(db, request, _report_each(items, found), progress))
        except CacappError as error:
            errors.append(error)
            reports.append(IngestReport(request.patient, request.slide, 0, 0, (), str(error)))
            if len(requests) > 1:
                progress.fail(str(error))
    if len(errors) == 1 == len(requests):
        raise errors[0]
    if len(errors) == len(requests):
        raise CacappError(f"none of {len(requests)} slides could be added")
    return reports


def _search(
    request: SlideRequest,
    required: Sequence[str],
    aliases: Mapping[str, Sequence[str]],
    readers: int,
    searched: Callable[[int], None],
    installed: Readers,
) -> Iterator[FrameSource | BadFile]:
    mapping = parse_channels(request.channels) if request.channels else None
    return discover(
        request.paths,
        pattern=request.pattern,
        channels=mapping,
        required=required,
        projection=request.projection,
        aliases=extend_aliases(aliases),
        pixel_size_um=request.pixel_size_um,
        readers=readers,
        searched=searched,
        installed=installed,
    )


def _report_each(items: Iterable[FrameSource | BadFile], found: Callable[[FrameSource], None]) -> Iterator[FrameSource | BadFile]:
    """Yield the items; call ``found`` with each frame."""
    for item in items:
        if isinstance(item, FrameSource):
            found(item)
        yield item


def _equal_faults(bad: Sequence[BadFile]) -> Iterable[list[BadFile]]:
    """Group the files by what is wrong with them, apart from their names."""
    groups: dict[str, list[BadFile]] = {}
    for one in bad:
        name = one.uri.rpartition("/")[2]
        fault = _OTHER_FRAME.sub("", one.error.replace(one.uri, "").replace(name, ""))
        groups.setdefault(fault, []).append(one)
    return groups.values()


def _in_one_line(faults: Sequence[BadFile]) -> str:
    first = faults[0]
    named = first.error if first.uri in first.error else f"{first.uri}: {first.error}"
    return named if len(faults) == 1 else f"{len(faults)} files have the same fault; the first is {named}"


def _ingest(db: Database, request: SlideRequest, items: Iterable[FrameSource | BadFile], progress: Progress) -> IngestReport:
    found: list[FrameSource] = []
    refused: list[tuple[str, str]] = []

    def refuse(bad: Sequence[BadFile]) -> None:
        for faults in _equal_faults(bad):
            refused.extend((one.uri, one.error) for one in faults)
            progress.fail(f"slide {request.slide}: {_in_one_line(faults)}")

    bad: list[BadFile] = []
    for item in items:
        if isinstance(item, BadFile):
            bad.append(item)
        else:
            found.append(item)
            progress.advance(f"{request.slide} {item.name}")
    refuse(bad)
    places = ", ".join(request.paths)
    if not found:
        why = f"none of {plural(len(refused), 'file')} could be used" if refused else "no image files there"
        raise CacappError(f"slide {request.slide}: nothing to ingest under {places}: {why}")
    with db.session() as session:
        slide = register_slide(session, request.patient, request.slide, request.blood_volume_ul, request.notes)
        added, kept, unfit = 0, [], []
        for source in found:
            other = same_pixels(session, slide, source)
            if other is not None and other.patient != request.patient and request.same_pixels is None:
                raise CacappError(
                    f"slide {request.slide}: {source.uri} {other}; one of them is in the wrong place. Find out whose it is, "
                    f"and leave it out here, or say --same-pixels WHY"
                )
            try:
                if other is not None and other.patient == request.patient:
                    raise CacappError(f"{source.uri} {other}; leave one out")
                allowed = f"{other}; allowed by {getuser()}: {request.same_pixels}" if other is not None else None
                added += add_frame(session, slide, source, allowed) is not None
                kept.append(source)
            except CacappError as error:
                unfit.append(BadFile(source.uri, str(error)))
        refuse(unfit)
        if not kept:
            raise CacappError(f"slide {request.slide}: nothing to ingest under {places}: every frame was refused")
        volume_ul = slide.blood_volume_ul
        sizes = {(f.height_px, f.width_px): f.name for f in frames_of(session, slide.id)}
    _warn(request, kept, sizes, volume_ul, progress)
    return IngestReport(request.patient, request.slide, added, len(kept) - added, tuple(refused))


def _warn(
    request: SlideRequest,
    kept: Sequence[FrameSource],
    sizes: Mapping[tuple[int, int], str],
    volume_ul: float | None,
    progress: Progress,
) -> None:
    """Warn of what is unknown or unlikely of a slide. ``sizes``: a frame's name for each (height, width) of the slide's frames, px."""
    if volume_ul is None:
        verdict = "undetermined, or insufficient with too few cells"
        progress.warn(f"slide {request.slide}: blood volume unknown: counts only; the verdict will be {verdict}")
    tiny = next((f for f in kept if f.pixel_size_um and not PIXEL_UM[0] <= f.pixel_size_um <= PIXEL_UM[1]), None)
    if tiny is not None:
        wide = NUCLEUS_UM / (tiny.pixel_size_um or 1)
        progress.warn(
            f"slide {request.slide}, frame {tiny.name}: pixel size {tiny.pixel_size_um:g} µm: a nucleus of {NUCLEUS_UM} µm would be "
            f"{wide:.3g} px wide; if the size is wrong, ingest the frame again with --pixel-size-um"
        )
    if len(sizes) > 1:
        listed = ", ".join(f"{w} x {h} ({name})" for (h, w), name in sorted(sizes.items()))
        progress.warn(f"slide {request.slide}: frames of different size: {listed}; each is analysed at its own size")
    groups = groups_numbered_alike(kept)
    if groups:
        progress.warn(
            f"slide {request.slide}: {plural(len(groups), 'group')} of files have frames of the same numbers ({', '.join(groups[:4])}"
            f"{', ...' if len(groups) > 4 else ''}): if these are several slides, ingest each with a --slide of its own"
        )
    pixels = {f.pixel_size_um: f.name for f in reversed(kept) if f.pixel_size_um}
    if pixels and max(pixels) > 1.01 * min(pixels):
        listed = ", ".join(f"{size:.4g} µm ({name})" for size, name in sorted(pixels.items())[:4])
        progress.warn(f"slide {request.slide}: frames of different pixel size: {listed}; are they of one slide and one objective?")
    unsized = [f.name for f in kept if f.pixel_size_um is None]
    if unsized:
        where = f"{len(unsized)} frames ({unsized[0]})" if len(unsized) > 1 else f"frame {unsized[0]}"
        progress.warn(f"slide {request.slide}: no pixel size in {where}: sizes are judged against the frame's own nuclei")
