"""Step ``compare``: compare a count run with a person's counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cacapp.db.cells.nuclei import CellRecord, read_cells
from cacapp.db.cells.queries import CellRow, cells
from cacapp.db.engine.session import Database
from cacapp.db.runs.ledger import get_run
from cacapp.db.slides import frame_source, frames_of
from cacapp.db.tables import FrameRow, Run, Slide
from cacapp.exceptions import CacappError, UsageError
from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.read import parse_assay
from cacapp.fish.confusion import BINS, Agreement, Pair, agreement, worst
from cacapp.frames import open_frame
from cacapp.report.cell_sheet import cell_sheet_png
from cacapp.report.contrast import contrast_limits
from cacapp.report.csv_export import to_csv
from cacapp.report.pictured import Picture
from cacapp.results.pictures import cell_pictures, read_planes
from cacapp.runs.files import write_atomically
from cacapp.runs.progress import Progress, Silent
from cacapp.steps.compare.truth import TrueCell, check_coordinates, match, match_kind, placed, read_truth


@dataclass(frozen=True, slots=True)
class Matched:
    """A nucleus of the truth and the cell of the run that it matches."""

    truth: TrueCell
    cell: CellRow
    pair: Pair


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run compared with a person's counts.

    Attributes:
        matched: nuclei of the truth that the run found; ``missed``: the others.
        extra: cells of the same frames that are not in the truth.
        worst: indices into ``matched``, worst first.
    """

    run_id: int
    slide: str
    assay: Assay
    match: str
    matched: tuple[Matched, ...]
    missed: tuple[TrueCell, ...]
    extra: int
    agreement: Agreement
    worst: tuple[int, ...]

    def record(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        a = self.agreement
        return {
            "run": self.run_id,
            "slide": self.slide,
            "assay": f"{self.assay.name} {self.assay.version}",
            "matched_by": self.match,
            "matched": len(self.matched),
            "evaluable": sum(m.pair.evaluable for m in self.matched),
            "missed": len(self.missed),
            "not_in_truth": self.extra,
            "bins": list(BINS),
            "counts": {channel: table.tolist() for channel, table in a.counts.items()},
            "exact": {channel: share.record() for channel, share in a.exact.items()},
            "classes": [{"truth": t, "called": c, "cells": n} for (t, c), n in sorted(a.classes.items())],
            "sensitivity": a.sensitivity.record(),
            "specificity": a.specificity.record(),
            "found": a.found.record(),
            "caught": a.caught.record(),
            "worst": [line_of(self.matched[i]) for i in self.worst],
        }


def compare(
    db: Database,
    run_id: int,
    truth_file: Path,
    *,
    by: str = "auto",
    coordinates: str = "px",
    worst_cells: int = 20,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Match a run's cells with a person's, frame by frame, and count the differences.

    ``coordinates`` are those of the file's y and x, a key of ``truth.COORDINATES``.

    The folder ``out`` gets ``comparison.json``, ``cells.csv`` (every nucleus of the truth) and ``worst.png``, pictures of the worst.

    Raises:
        UsageError: no such run, or a truth file that cannot be used; one line with file, line and column.
        CacappError: the run is not a count run.
    """
    progress = progress or Silent()
    with db.reading() as session:
        run = get_run(session, run_id)
        if run.step != "count":
            raise CacappError(f"run {run_id} is a {run.step} run; compare takes a count run, see: cacapp runs list")
        assay = parse_assay(cast(str, run.assay_toml), f"run {run_id}")
        truth = read_truth(truth_file, assay)
        kind = match_kind(truth, by, truth_file)
        slide = session.get_one(Slide, run.slide_id)
        frames = {f.name: f for f in frames_of(session, run.slide_id)}
        if unknown := next((t for t in truth if t.frame not in frames), None):
            known = ", ".join(list(frames)[:10])
            raise UsageError(
                f"truth {truth_file}, line {unknown.line}: slide {slide.barcode} has no frame {unknown.frame!r}; it has {known}"
            )
        rows = {row.cell_id: row for row in cells(session, run_id=run_id)}
        matched: list[Matched] = []
        missed: list[TrueCell] = []
        extra = 0
        groups = []
        for name in dict.fromkeys(t.frame for t in truth):
            records = [c for c in read_cells(session, cast(int, run.source_run_id), frames[name].id) if c.id in rows]
            groups.append(([t for t in truth if t.frame == name], records, frames[name].pixel_size_um))
        if kind == "position":
            check_coordinates(groups, coordinates, truth_file)
            groups = [(placed(here, coordinates, size), records, size) for here, records, size in groups]
        for here, records, _ in groups:
            found = match(here, records, kind)
            matched += [_matched(here[t], rows[records[c].id], assay) for t, c in sorted(found.items())]
            missed += [cell for t, cell in enumerate(here) if t not in found]
            extra += len(records) - len(found)
    pairs = [m.pair for m in matched]
    missed_cacs = sum(t.class_name in assay.cac_classes for t in missed)
    result = Comparison(
        run_id,
        slide.barcode,
        assay,
        kind,
        tuple(matched),
        tuple(missed),
        extra,
        agreement(pairs, assay, missed_cacs),
        tuple(worst(pairs, worst_cells)),
    )
    if out is not None:
        write_atomically(out / "comparison.json", (json.dumps(result.record(), indent=2, ensure_ascii=False) + "\n").encode())
        write_atomically(out / "cells.csv", _csv(result).encode())
        write_atomically(out / "worst.png", _sheet(db, result, run, frames, progress))
    return result


def line_of(one: Matched) -> dict[str, Any]:
    """Return a matched nucleus as a flat record."""
    channels = list(one.cell.counts)
    pair = one.pair
    return {
        "frame": one.cell.frame,
        "label": one.cell.label,
        "y": one.cell.y,
        "x": one.cell.x,
        "truth": "-".join(map(str, pair.truth)),
        "counted": "-".join(map(str, pair.counted)),
        "true_class": pair.true_class,
        "called_class": pair.called_class,
        "exclusion_reason": one.cell.exclusion_reason,
        "needs_review": pair.needs_review,
        "margin": one.cell.margin,
        "truth_line": one.truth.line,
        "cell_id": one.cell.cell_id,
        "channels": "-".join(channels),
    }


def _matched(truth: TrueCell, row: CellRow, assay: Assay) -> Matched:
    counted = tuple(row.counts.get(c, 0) for c in assay.channels)
    pair = Pair(
        truth=truth.counts,
        counted=counted,
        true_class=truth.class_name,
        called_class=row.class_ if row.evaluable else None,
        true_cac=truth.class_name in assay.cac_classes,
        called_cac=row.evaluable and row.is_cac,
        needs_review=row.needs_review,
    )
    return Matched(truth, row, pair)


def _csv(result: Comparison) -> str:
    lines = [line_of(m) | {"found": True} for m in result.matched]
    columns = [*(list(lines[0]) if lines else ["frame", "label", "y", "x", "truth", "true_class", "truth_line", "found"])]
    for cell in result.missed:
        y, x = cell.yx or (None, None)
        pattern = "-".join(map(str, cell.counts))
        known = {"frame": cell.frame, "label": None, "y": y, "x": x, "truth": pattern}
        lines.append(known | {"true_class": cell.class_name, "truth_line": cell.line, "found": False})
    return to_csv(columns, sorted(lines, key=lambda line: int(line["truth_line"])))


def _sheet(db: Database, result: Comparison, run: Run, frames: dict[str, FrameRow], progress: Progress) -> bytes:
    """Draw the worst cells as a PNG; cells of a frame whose file is missing or changed have no picture, with a warning."""
    chosen = [result.matched[i] for i in result.worst]
    pictures: dict[int, Any] = {}
    progress.start("compare", len(chosen))
    for name in dict.fromkeys(m.cell.frame for m in chosen):
        own = [m.cell for m in chosen if m.cell.frame == name]
        try:
            pictures |= _pictures(db, run, frames[name], own)
        except CacappError as error:
            progress.warn(f"compare: slide {result.slide}, frame {name}: no pictures: {error}")
        progress.advance(name, by=len(own))
    rows = [(_captions(m), pictures.get(m.cell.cell_id, {})) for m in chosen]
    order = "-".join(result.assay.channels)
    title = f"Slide {result.slide}, run {result.run_id}: {len(chosen)} cells that differ most from the truth; signals in the order {order}"
    return cell_sheet_png(title, rows)


def _pictures(db: Database, run: Run, row: FrameRow, chosen: Sequence[CellRow]) -> dict[int, dict[str, Picture]]:
    with db.reading() as session:
        frame = open_frame(frame_source(session, row))
        records: dict[int, CellRecord] = {c.id: c for c in read_cells(session, cast(int, run.source_run_id), row.id)}
    limits = contrast_limits([read_planes(frame)], f"frame {row.name}")
    return {i: dict(p) for i, p in cell_pictures(db, frame, chosen, records, limits, encoding="png").items()}


def _captions(one: Matched) -> list[str]:
    pair = one.pair
    return [
        f"frame {one.cell.frame}, cell {one.cell.label}",
        f"y {one.cell.y:.0f}, x {one.cell.x:.0f} px",
        f"truth {'-'.join(map(str, pair.truth))}: {pair.true_class}",
        f"counted {'-'.join(map(str, pair.counted))}: {pair.called_class}",
        "CAC missed" if pair.true_cac and not pair.called_cac else "false CAC" if pair.called_cac and not pair.true_cac else "",
        f"review: {one.cell.review_reason}" if pair.needs_review else "",
    ]
