"""Read a person's counts from a CSV file, and match them with a run's cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cacapp.db.cells.nuclei import CellRecord
from cacapp.exceptions import UsageError
from cacapp.exchange.csv_table import number, read_table
from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.rules import classify

MATCHES = ("auto", "position", "label")
COORDINATES = {
    "px": "in px",
    "um": "in µm",
    "px-exchanged": "in px, with x and y exchanged",
    "um-exchanged": "in µm, with x and y exchanged",
}
CLEAR_SHARE = 0.5  # of the nuclei must be found where positions are taken otherwise, and twice as many as where they are taken as stated


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
    columns, lines = read_table(path, "truth", ("frame", "y", "x", "label", "class", *assay.channels), others=True)
    if not columns:
        raise UsageError(f"truth {path}: empty; its first line must name the columns: {described_columns(assay)}")
    if missing := [c for c in ("frame", *assay.channels) if c not in columns]:
        raise UsageError(f"truth {path}: no column {missing[0]}; the columns for assay {assay.name} are {described_columns(assay)}")
    if "label" not in columns and not {"y", "x"} <= set(columns):
        raise UsageError(
            f"truth {path}: no columns y and x, and no column label, to find the cells by; the columns are {described_columns(assay)}"
        )
    if short := next((row for row in lines if not row.complete), None):
        raise UsageError(f"truth {path}, line {short.line}: not as many values as column names")
    rows = [_row(path, row.line, row.values, assay) for row in lines]
    if not rows:
        raise UsageError(f"truth {path}: no rows below the column names")
    return rows


def described_columns(assay: Assay) -> str:
    """Return all columns that a file of counts may have, in words."""
    return f"frame, y and x (px) or label, {', '.join(assay.channels)}, and optionally class"


def _row(path: Path, line: int, value: Mapping[str, str], assay: Assay) -> TrueCell:
    def whole(column: str) -> int:
        if not value[column].isdecimal() or not value[column].isascii():
            raise UsageError(f"truth {path}, line {line}: {column} is {value[column]!r}; give a whole number, 0 or more")
        return int(value[column])

    def real(column: str) -> float:
        try:
            position = number(value[column])
        except UsageError as error:
            raise UsageError(f"truth {path}, line {line}: {column}: {error}") from None
        if math.isnan(position):
            raise UsageError(f"truth {path}, line {line}: {column} is {value[column]!r}; give a position in px")
        return position

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


def placed(truth: Sequence[TrueCell], coordinates: str, pixel_size_um: float | None) -> list[TrueCell]:
    """Return the nuclei of a frame with positions in px, (y, x).

    Raises:
        UsageError: an unknown word for the coordinates, or positions in µm in a frame without a pixel size.
    """
    if coordinates not in COORDINATES:
        raise UsageError(f"--coordinates {coordinates}: choose one of {', '.join(COORDINATES)}")
    if coordinates.startswith("um") and pixel_size_um is None:
        raise UsageError(f"--coordinates {coordinates}: frame {truth[0].frame} has no pixel size; give positions in px")
    size = pixel_size_um if coordinates.startswith("um") and pixel_size_um else 1.0
    turned = coordinates.endswith("exchanged")

    def place(cell: TrueCell) -> TrueCell:
        if cell.yx is None:
            return cell
        y, x = reversed(cell.yx) if turned else cell.yx
        return replace(cell, yx=(y / size, x / size))

    return [place(cell) for cell in truth]


def check_coordinates(
    frames: Sequence[tuple[Sequence[TrueCell], Sequence[CellRecord], float | None]], coordinates: str, path: Path
) -> None:
    """Raise UsageError where few nuclei lie at the stated positions, and most would if these were in µm or had x and y exchanged.

    Args:
        frames: nuclei of the truth as in the file, cells of the run and pixel size of each frame.
    """
    total = sum(len(truth) for truth, _, _ in frames)

    def found(way: str) -> int:
        usable = [(placed(truth, way, size), cells) for truth, cells, size in frames if size is not None or way.startswith("px")]
        return sum(len(match(truth, cells, "position")) for truth, cells in usable)

    stated = found(coordinates)
    if stated >= CLEAR_SHARE * total:
        return
    best, way = max((found(way), way) for way in COORDINATES)
    if best >= CLEAR_SHARE * total and best >= 2 * stated:
        raise UsageError(
            f"truth {path}: {stated} of {total} nuclei lie where the run has cells, {best} would if positions were {COORDINATES[way]}; "
            f"if they are, say --coordinates {way}"
        )


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
