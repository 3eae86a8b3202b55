"""Read a person's counts from a CSV file, and match them with a run's cells."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cacapp.db.cells.nuclei import CellRecord
from cacapp.exceptions import UsageError
from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.rules import classify

MATCHES = ("auto", "position", "label")


@dataclass(frozen=True, slots=True)
class TrueCell:
    """A nucleus as a person counted it; ``line`` is its line in the file."""

    line: int
    frame: str
    label: int | None
    yx: tuple[float, float] | None
    counts: tuple[int, ...]
    class_name: str


def read_truth(path: Path, assay: Assay) -> list[TrueCell]:
    """Read a person's counts from a CSV file; ``described_columns`` names its columns. Other columns are ignored.

    Without the column ``class`` the class follows from the counts by the assay's rules.

    Raises:
        UsageError: the file cannot be used; one line that names the file, the line and the column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"truth {path}: {reason}") from error
    reader = csv.DictReader(io.StringIO(text))
    columns = [c.strip() for c in reader.fieldnames or ()]
    reader.fieldnames = columns
    if not columns:
        raise UsageError(f"truth {path}: empty; its first line must name the columns: {described_columns(assay)}")
    if repeated := next((c for c in columns if columns.count(c) > 1), None):
        raise UsageError(f"truth {path}: column {repeated} is there twice")
    if missing := [c for c in ("frame", *assay.channels) if c not in columns]:
        raise UsageError(f"truth {path}: no column {missing[0]}; the columns for assay {assay.name} are {described_columns(assay)}")
    if "label" not in columns and not {"y", "x"} <= set(columns):
        raise UsageError(
            f"truth {path}: no columns y and x, and no column label, to find the cells by; the columns are {described_columns(assay)}"
        )
    rows = [_row(path, reader.line_num, row, assay) for row in reader if any((v or "").strip() for v in row.values() if isinstance(v, str))]
    if not rows:
        raise UsageError(f"truth {path}: no rows below the column names")
    return rows


def described_columns(assay: Assay) -> str:
    """Return all columns that a file of counts may have, in words."""
    return f"frame, y and x (px) or label, {', '.join(assay.channels)}, and optionally class"


def _row(path: Path, line: int, row: Mapping[str, str | None], assay: Assay) -> TrueCell:
    if None in row or None in row.values():
        raise UsageError(f"truth {path}, line {line}: not as many values as column names")
    value = {k: (v or "").strip() for k, v in row.items()}

    def whole(column: str) -> int:
        if not value[column].isdecimal() or not value[column].isascii():
            raise UsageError(f"truth {path}, line {line}: {column} is {value[column]!r}; give a whole number, 0 or more")
        return int(value[column])

    def real(column: str) -> float:
        try:
            number = float(value[column])
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise UsageError(f"truth {path}, line {line}: {column} is {value[column]!r}; give a position in px")
        return number

    if not value["frame"]:
        raise UsageError(f"truth {path}, line {line}: frame is empty")
    counts = tuple(whole(c) for c in assay.channels)
    name = value.get("class") or assay.class_names[int(classify(np.array([counts]), assay.classes, assay.channels)[0])]
    if name not in assay.class_names:
        raise UsageError(f"truth {path}, line {line}: assay {assay.name} has no class {name!r}; it has {', '.join(assay.class_names)}")
    yx = (real("y"), real("x")) if {"y", "x"} <= set(value) else None
    return TrueCell(line, value["frame"], whole("label") if "label" in value else None, yx, counts, name)


def match_kind(truth: Sequence[TrueCell], wanted: str, path: Path) -> str:
    """Return "position" or "label": how to match. "auto" prefers the position, since a label belongs to one segmentation.

    Raises:
        UsageError: an unknown word, or the columns that it needs are missing.
    """
    if wanted not in MATCHES:
        raise UsageError(f"--match {wanted}: choose one of {', '.join(MATCHES)}")
    available = {"position": truth[0].yx is not None, "label": truth[0].label is not None}
    kind = wanted if wanted != "auto" else "position" if available["position"] else "label"
    if not available[kind]:
        raise UsageError(f"truth {path}: --match {kind} needs the column{'s y and x' if kind == 'position' else ' label'}")
    if kind == "label":
        seen: set[tuple[str, int | None]] = set()
        for cell in truth:
            if (cell.frame, cell.label) in seen:
                raise UsageError(f"truth {path}, line {cell.line}: frame {cell.frame}, label {cell.label} is there twice")
            seen.add((cell.frame, cell.label))
    return kind


def match(truth: Sequence[TrueCell], cells: Sequence[CellRecord], kind: str) -> dict[int, int]:
    """Match the nuclei of one frame one to one: index into ``truth`` to index into ``cells``.

    By position a point belongs to the nucleus whose mask contains it, or whose centre is nearer than the nucleus' mean radius; the
    nearest pairs are matched first.
    """
    if kind == "label":
        by_label = {c.label: i for i, c in enumerate(cells)}
        return {t: by_label[cell.label] for t, cell in enumerate(truth) if cell.label in by_label}
    if not cells:
        return {}
    centres = np.array([c.centroid_yx for c in cells])
    radius = np.sqrt(np.array([c.area_px for c in cells]) / np.pi)
    near: list[tuple[float, int, int]] = []
    for t, cell in enumerate(truth):
        assert cell.yx is not None, "checked by match_kind"
        distance = np.hypot(*(centres - cell.yx).T)
        reach = np.array([max(c.instance.bbox_xywh[2:]) for c in cells])
        within = np.flatnonzero(distance <= reach).tolist()
        near += [(float(distance[i]), t, i) for i in within if distance[i] <= radius[i] or _inside(cells[i], cell.yx)]
    found: dict[int, int] = {}
    taken: set[int] = set()
    for _, t, i in sorted(near):
        if t not in found and i not in taken:
            found[t] = i
            taken.add(i)
    return found


def _inside(cell: CellRecord, yx: tuple[float, float]) -> bool:
    x, y, w, h = cell.instance.bbox_xywh
    row, column = round(yx[0]) - y, round(yx[1]) - x
    return 0 <= row < h and 0 <= column < w and bool(cell.instance.mask[row, column])
