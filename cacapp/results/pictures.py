"""The report's pictures: flagged cells and frame overviews, drawn from the frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cacapp.db.cells.nuclei import CellRecord, read_cells
from cacapp.db.cells.queries import CellRow, SignalRecord, signals_of
from cacapp.db.engine.session import Database
from cacapp.db.slides import frame_source
from cacapp.db.tables import FrameRow, Slide
from cacapp.exceptions import CacappError
from cacapp.fish.review import Dot, State, counts_now
from cacapp.frames import open_frame
from cacapp.report.contrast import ContrastLimits, contrast_limits
from cacapp.report.figures import SignalMark, cell_crops, cell_window, frame_overview, window_side_px
from cacapp.report.patient_page import PatientReport
from cacapp.report.pictured import MAX_CELL_PICTURES, MAX_FRAME_PICTURES, Picture, by_urgency
from cacapp.runs.progress import Progress
from cacapp.types import DAPI, Array, Frame

Pictures = dict[int, Mapping[str, Picture]]
Overviews = dict[tuple[str, str], Picture]

CONTRAST_FRAMES = 12


def draw(
    db: Database,
    report: PatientReport,
    rows: Sequence[CellRow],
    frames: Sequence[FrameRow],
    slides: Mapping[int, Slide],
    progress: Progress,
    states: Mapping[int, State] | None = None,
) -> tuple[Pictures, Overviews, tuple[ContrastLimits, ...]]:
    """Draw pictures by cell id, overviews by (slide, frame), and return them with the contrast limits of each slide.

    The most urgent flagged cells and the first frames with CACs are drawn, as many as the page holds. ``states``: cells as people left
    them, by id.
    """
    pictures: Pictures = {}
    overviews: Overviews = {}
    contrast = []
    wanted = {cell.cell_id for cell in by_urgency(report.flagged)[:MAX_CELL_PICTURES]}
    ranked = sorted(report.frames, key=lambda f: f.cacs == 0)[:MAX_FRAME_PICTURES]
    drawn_frames = {(f.slide, f.frame) for f in ranked}
    for slide_id, slide in slides.items():
        own = [f for f in frames if f.slide_id == slide_id]
        readable = list(_readable(db, own, slide.barcode, progress))
        if not readable:
            continue
        step = max(1, -(-len(readable) // CONTRAST_FRAMES))
        limits = contrast_limits((read_planes(frame) for _, frame in readable[::step]), f"slide {slide.barcode}")
        contrast.append(limits)
        flagged = [r for r in rows if r.slide == slide.barcode and r.cell_id in wanted]
        for row, frame in readable:
            mine = [r for r in rows if r.frame_id == row.id]
            if not mine:
                continue
            chosen = [r for r in flagged if r.frame_id == row.id]
            with db.reading() as session:
                records = {c.id: c for c in read_cells(session, mine[0].segment_run_id, row.id)}
            if chosen:
                pictures |= cell_pictures(db, frame, chosen, records, limits, states=states)
            if (slide.barcode, row.name) in drawn_frames:
                overviews[slide.barcode, row.name] = _frame(frame, mine, records, limits)
    return pictures, overviews, tuple(contrast)


def _readable(db: Database, frames: Sequence[FrameRow], barcode: str, progress: Progress) -> Iterator[tuple[FrameRow, Frame]]:
    for row in frames:
        with db.reading() as session:
            source = frame_source(session, row)
        try:
            yield row, open_frame(source)
        except CacappError as error:
            progress.warn(f"report: slide {barcode}, frame {row.name}: no pictures: {error}")


def read_planes(frame: Frame) -> dict[str, Array]:
    """Read all channels of a frame."""
    return {name: frame.channel(name) for name in frame.channel_names}


def cell_pictures(
    db: Database,
    frame: Frame,
    chosen: Sequence[CellRow],
    records: Mapping[int, CellRecord],
    limits: ContrastLimits,
    encoding: str = "webp",
    states: Mapping[int, State] | None = None,
) -> Pictures:
    """Draw cells of one frame at one magnification, by cell id; ``records`` hold their masks, ``states`` the calls after review."""
    planes = read_planes(frame)
    side = window_side_px([records[r.cell_id].instance.bbox_xywh for r in chosen])
    result: Pictures = {}
    for row in chosen:
        nucleus = records[row.cell_id].instance
        left, top, width, height = cell_window(nucleus.bbox_xywh, side, frame.height_px, frame.width_px)
        crops = {name: plane[top : top + height, left : left + width] for name, plane in planes.items()}
        with db.reading() as session:
            dots = signals_of(session, row.cell_id, row.run_id)
        state = (states or {}).get(row.cell_id)
        marks = [SignalMark(d.channel, d.yx[0] - top, d.yx[1] - left, d.sigma_px, _counts(d, state)) for d in dots]
        marks += [SignalMark(a.channel, a.y_px - top, a.x_px - left) for a in (state.added if state else ()) if a.number is None]
        mask = _paste(nucleus.mask, nucleus.bbox_xywh, (left, top, width, height))
        result[row.cell_id] = cell_crops(crops, mask, marks, limits, pixel_size_um=frame.pixel_size_um, encoding=encoding)
    return result


def _counts(dot: SignalRecord, state: State | None) -> bool:
    """Return whether a dot counts, by the software or after review."""
    if state is None:
        return dot.reason is None
    return counts_now(state, Dot(dot.channel, dot.number, *dot.yx, dot.reason is None))


def _paste(mask: Array, bbox_xywh: tuple[int, int, int, int], window: tuple[int, int, int, int]) -> Array:
    """Return a nucleus' mask in its window, cut at the window's edges."""
    import numpy as np

    (x, y, w, h), (left, top, width, height) = bbox_xywh, window
    canvas = np.zeros((height, width), bool)
    x0, y0, x1, y1 = max(x, left), max(y, top), min(x + w, left + width), min(y + h, top + height)
    canvas[y0 - top : y1 - top, x0 - left : x1 - left] = mask[y0 - y : y1 - y, x0 - x : x1 - x]
    return canvas


def _frame(frame: Frame, rows: Sequence[CellRow], records: Mapping[int, CellRecord], limits: ContrastLimits) -> Picture:
    nuclei = [records[r.cell_id].instance for r in rows]
    classes = [r.class_ if r.evaluable else None for r in rows]
    labels = [r.label for r in rows]
    return frame_overview(frame.channel(DAPI), nuclei, classes, limits, labels=labels, pixel_size_um=frame.pixel_size_um)
