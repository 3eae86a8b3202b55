"""Step ``export``: write cells to files that other programs read."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

from sqlmodel import Session, col, select

from cacapp.db.cells.nuclei import read_cells
from cacapp.db.cells.queries import CellRow, cells
from cacapp.db.engine.session import Database
from cacapp.db.slides import frame_source
from cacapp.db.tables import FrameRow, Slide
from cacapp.exceptions import CacappError, UsageError
from cacapp.exchange.coco import annotation
from cacapp.exchange.geojson import geojson
from cacapp.exchange.label_zarr import write_zarr
from cacapp.exchange.nucleus import Nucleus
from cacapp.exchange.roi import roi_zip
from cacapp.frames import open_frame
from cacapp.report.csv_export import to_csv
from cacapp.runs.files import file_names, write_atomically
from cacapp.runs.progress import Progress, Silent
from cacapp.runs.select import select_slides
from cacapp.types import label_image

ANNOTATIONS = "annotations.json"
FORMATS = ("tiff", "ome-zarr", "geojson", "roi", "coco")


def export(db: Database, out: Path, barcodes: Sequence[str] = (), form: str = "tiff", progress: Progress | None = None) -> list[Path]:
    """Write the cells of the slides (all by default) into the folder ``out``; several slides get a folder each.

    tiff: ``<frame>_labels.tif`` (Y, X) int32, each pixel with its cell's label, and one ``cells.csv``.
    ome-zarr: ``<frame>.ome.zarr``, the frame's pixels and the cells as labels, with class and counts as properties; needs the
        frames' files, and as much disk space again.
    geojson: ``<frame>.geojson``, one polygon per cell in px from the corner of the frame, with class and counts (QuPath opens it).
    roi: ``<frame>_rois.zip``, a ROI set for ImageJ and Fiji.
    coco: ``annotations.json``, one annotation per cell with the RLE mask of the whole frame, as pycocotools reads it.
    """
    if form not in FORMATS:
        raise UsageError(f"--format {form}: choose one of {', '.join(FORMATS)}")
    progress = progress or Silent()
    with db.reading() as session:
        slides = select_slides(session, barcodes)
        folders = file_names(session.exec(select(Slide.barcode).order_by(col(Slide.id))))
        found = {slide.barcode: cells(session, slide=slide.barcode) for slide in slides}
    empty = [barcode for barcode, rows in found.items() if not rows]
    if len(empty) == len(slides):
        raise CacappError(f"slide {empty[0]} has no cells to export; run: cacapp segment {empty[0]}, then cacapp count {empty[0]}")
    written = []
    for slide in slides:
        rows = found[slide.barcode]
        if not rows:
            progress.warn(f"slide {slide.barcode}: no cells to export")
            continue
        folder = out / folders[slide.barcode] if len(slides) > 1 else out
        with db.reading() as session:
            written += _write_slide(session, slide, rows, folder, form, progress)
    return written


def _write_slide(session: Session, slide: Slide, rows: Sequence[CellRow], folder: Path, form: str, progress: Progress) -> list[Path]:
    frames = list(session.exec(select(FrameRow).where(FrameRow.slide_id == slide.id).order_by(FrameRow.name)))
    progress.start(f"export {slide.barcode}", len(frames))
    paths, images, annotations = [], [], []
    names = file_names((frame.name for frame in frames), str)  # they were file names
    for frame in frames:
        nuclei = _nuclei(session, frame, [r for r in rows if r.frame_id == frame.id])
        if form == "coco":
            frame_id, size = frame.id, {"height": frame.height_px, "width": frame.width_px}
            images.append({"id": frame_id, "file_name": frame.uri, "slide": slide.barcode, "frame": frame.name, **size})
            annotations += [annotation(n, frame_id, frame.height_px, frame.width_px) for n in nuclei]
        else:
            paths.append(_write_frame(session, frame, names[frame.name], nuclei, folder, form))
        progress.advance(frame.name)
    if form == "tiff":
        path = folder / "cells.csv"
        write_atomically(path, cells_csv(rows).encode())
        paths.append(path)
    if form == "coco":
        path = folder / ANNOTATIONS
        categories = [{"id": 1, "name": "nucleus"}]
        write_atomically(path, json.dumps({"images": images, "annotations": annotations, "categories": categories}).encode())
        paths.append(path)
    return paths


def _write_frame(session: Session, frame: FrameRow, name: str, nuclei: Sequence[Nucleus], folder: Path, form: str) -> Path:
    if form == "ome-zarr":
        path = folder / f"{name.removesuffix('.ome')}.ome.zarr"
        write_zarr(path, open_frame(frame_source(session, frame)), nuclei)
        return path
    if form == "geojson":
        path, content = folder / f"{name}.geojson", geojson(nuclei)
    elif form == "roi":
        path, content = folder / f"{name}_rois.zip", roi_zip(nuclei)
    else:
        path, content = folder / f"{name}_labels.tif", _label_tiff(frame, nuclei)
    write_atomically(path, content)
    return path


def _nuclei(session: Session, frame: FrameRow, rows: Sequence[CellRow]) -> list[Nucleus]:
    records = {c.id: c for c in read_cells(session, rows[0].segment_run_id, frame.id)} if rows else {}
    return [
        Nucleus(
            cell_id=row.cell_id,
            label=row.label,
            instance=records[row.cell_id].instance,
            area_px=row.area_px,
            class_=row.class_,
            is_cac=row.is_cac,
            evaluable=row.evaluable,
            counts=row.counts,
        )
        for row in rows
    ]


def cells_csv(rows: Sequence[CellRow]) -> str:
    """Return cells as CSV text with a header; booleans are 0 and 1, unknown values empty."""
    probes = list(dict.fromkeys(probe for row in rows for probe in row.counts))
    records = [row.as_dict() for row in rows]
    columns = list(dict.fromkeys(key for record in records for key in record))
    if probes:
        first = columns.index(probes[0])
        columns = [c for c in columns[:first] if c not in probes] + probes + [c for c in columns[first:] if c not in probes]
    return to_csv(columns or ["frame", "label"], records)


def _label_tiff(frame: FrameRow, nuclei: Sequence[Nucleus]) -> bytes:
    import tifffile

    file = io.BytesIO()
    image = label_image([n.instance for n in nuclei], frame.height_px, frame.width_px, [n.label for n in nuclei])
    tifffile.imwrite(file, image, compression="zlib")
    return file.getvalue()
