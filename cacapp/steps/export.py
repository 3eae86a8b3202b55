"""Step ``export``: cells to files other programs read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from sqlmodel import Session, select

from cacapp.db import rle
from cacapp.db.cell_queries import CellRow, cells
from cacapp.db.cells import CellRecord, read_cells
from cacapp.db.session import Database
from cacapp.db.tables import FrameRow, Slide
from cacapp.errors import CacappError, UsageError
from cacapp.steps.files import write_atomically
from cacapp.steps.progress import Progress, Silent
from cacapp.steps.report import file_name
from cacapp.steps.select import chosen_slides
from cacapp.types import Instance, label_image

FORMATS = ("tiff", "geojson", "coco")


def export(db: Database, out: Path, barcodes: Sequence[str] = (), form: str = "tiff", progress: Progress | None = None) -> list[Path]:
    """Writes the cells of the slides (all by default) into the folder ``out``; several slides get a folder each.

    tiff: ``<frame>_labels.tif`` (Y, X) int32, the value being the cell's label, and one ``cells.csv``.
    geojson: ``<frame>.geojson``, a polygon a cell in px from the corner of the frame, with class and counts (QuPath opens it).
    coco: ``annotations.json``, one annotation a cell with the RLE mask of the whole frame, as pycocotools reads it.
    """
    if form not in FORMATS:
        raise UsageError(f"--format {form}: choose one of {', '.join(FORMATS)}")
    progress = progress or Silent()
    with db.reading() as session:
        slides = chosen_slides(session, barcodes)
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
        folder = out / file_name(slide.barcode) if len(slides) > 1 else out
        with db.reading() as session:
            written += _write_slide(session, slide, rows, folder, form, progress)
    return written


def _write_slide(session: Session, slide: Slide, rows: Sequence[CellRow], folder: Path, form: str, progress: Progress) -> list[Path]:
    frames = list(session.exec(select(FrameRow).where(FrameRow.slide_id == slide.id).order_by(FrameRow.name)))
    progress.start(f"export {slide.barcode}", len(frames))
    paths, images, annotations = [], [], []
    for frame in frames:
        own = [r for r in rows if r.frame_id == frame.id]
        records = {c.id: c for c in read_cells(session, own[0].segment_run_id, cast(int, frame.id))} if own else {}
        if form == "tiff":
            paths.append(_labels(folder, frame, own, records))
        elif form == "geojson":
            paths.append(_geojson(folder, frame, own, records))
        else:
            images.append({"id": frame.id, "file_name": frame.uri, "height": frame.height_px, "width": frame.width_px})
            annotations += [_annotation(frame, row, records[row.cell_id].instance) for row in own]
        progress.advance(frame.name)
    if form == "tiff":
        path = folder / "cells.csv"
        write_atomically(path, cells_csv(rows).encode())
        paths.append(path)
    if form == "coco":
        path = folder / "annotations.json"
        categories = [{"id": 1, "name": "nucleus"}]
        write_atomically(path, json.dumps({"images": images, "annotations": annotations, "categories": categories}).encode())
        paths.append(path)
    return paths


def cells_csv(rows: Sequence[CellRow]) -> str:
    """Cells as CSV text with a header; booleans are 0 and 1, unknown values empty."""
    probes = list(dict.fromkeys(probe for row in rows for probe in row.counts))
    records = [row.as_dict() for row in rows]
    columns = list(dict.fromkeys(key for record in records for key in record))
    if probes:
        first = columns.index(probes[0])
        columns = [c for c in columns[:first] if c not in probes] + probes + [c for c in columns[first:] if c not in probes]
    text = io.StringIO()
    table = csv.DictWriter(text, columns or ["frame", "label"], lineterminator="\n")
    table.writeheader()
    for record in records:
        table.writerow({k: int(v) if isinstance(v, bool) else "" if v is None else v for k, v in record.items()})
    return text.getvalue()


def _labels(folder: Path, frame: FrameRow, rows: Sequence[CellRow], records: dict[int, CellRecord]) -> Path:
    import tifffile

    image = label_image([records[r.cell_id].instance for r in rows], frame.height_px, frame.width_px, [r.label for r in rows])
    file = io.BytesIO()
    tifffile.imwrite(file, image, compression="zlib")
    path = folder / f"{frame.name}_labels.tif"
    write_atomically(path, file.getvalue())
    return path


def _geojson(folder: Path, frame: FrameRow, rows: Sequence[CellRow], records: dict[int, CellRecord]) -> Path:
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [polygon(records[row.cell_id].instance)]},
            "properties": {
                "objectType": "detection",
                "name": str(row.label),
                "classification": {"name": (row.class_ or "not called") if row.evaluable else "not evaluable"},
                "measurements": {"area_px": row.area_px, **row.counts},
            },
        }
        for row in rows
    ]
    path = folder / f"{frame.name}.geojson"
    write_atomically(path, json.dumps({"type": "FeatureCollection", "features": features}).encode())
    return path


def polygon(instance: Instance) -> list[list[int]]:
    """The outline of an instance's largest part, holes filled, as a closed ring of (x, y) corners.

    The ring runs along the edges of the pixels, px from the corner of the frame (pixel i covers i to i + 1, as in QuPath), and never
    touches itself, however thin the mask.
    """
    _, parts, stats, _ = cv2.connectedComponentsWithStats(instance.mask.astype(np.uint8), connectivity=4)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    # Three samples a pixel: the contour runs through the outer ones, which tell on which side of the pixel it passes.
    samples = np.kron((parts == largest).astype(np.uint8), np.ones((3, 3), np.uint8))
    (outline, *_), _ = cv2.findContours(samples, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    pixel, side = np.divmod(outline.reshape(-1, 2), 3)
    corners = pixel + (side == 2) + np.array(instance.bbox_xywh[:2])
    ring = [point for point, before in zip(corners.tolist(), np.roll(corners, 1, axis=0).tolist(), strict=True) if point != before]
    return [*ring, ring[0]]


def _annotation(frame: FrameRow, row: CellRow, instance: Instance) -> dict[str, Any]:
    height, width = frame.height_px, frame.width_px
    counts = rle.encode_in_frame(instance.mask, instance.bbox_xywh, height, width).decode()
    return {
        "id": row.cell_id,
        "image_id": row.frame_id,
        "category_id": 1,
        "bbox": list(instance.bbox_xywh),
        "area": row.area_px,
        "iscrowd": 0,
        "segmentation": {"size": [height, width], "counts": counts},
        "class": row.class_,
        "is_cac": row.is_cac,
        "counts": row.counts,
        "evaluable": row.evaluable,
    }
