"""Manifest: a CSV file with one row a slide. It is checked completely before anything is ingested."""

from __future__ import annotations

import csv
import difflib
from pathlib import Path

from cacapp.exceptions import UsageError
from cacapp.frames import check_address, is_remote
from cacapp.runs.plan import SlideRequest

REQUIRED = ("patient", "slide", "path", "blood_volume_ul")
OPTIONAL = ("notes", "pattern", "channels", "projection")
UNKNOWN = ("", "unknown")


def volume_ul(text: str, where: str) -> float | None:
    """Parse a blood volume in µL, None for "" or "unknown". Raises UsageError for anything but a positive number."""
    if text.strip().lower() in UNKNOWN:
        return None
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"{where}: blood_volume_ul must be a number in µL, or empty where unknown; got {text!r}") from None
    if not 0 < value < 1e9:
        raise UsageError(f"{where}: blood_volume_ul must be above 0 µL, got {text.strip()}")
    return value


def source_path(place: str, folder: Path) -> str:
    """Return the absolute path of a path relative to ``folder``, or an address in its plain form.

    Raises UsageError where there is no such file or folder, or for an address that is not read.
    """
    if is_remote(place):
        return check_address(place)
    target = folder / place
    if not target.exists():
        raise UsageError(f"there is no {target}")
    return str(target.absolute())


def read_manifest(path: Path) -> list[SlideRequest]:
    """Read the slides of a manifest; relative paths start at the manifest's folder.

    Raises UsageError naming file, line and column for unknown or missing columns, empty values, a bad volume, a missing path, a slide
    listed twice with different patients or volumes.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _check_columns(path, list(reader.fieldnames or ()))
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise UsageError(f"manifest {path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"manifest {path}: not a CSV text file in UTF-8") from error
    if not rows:
        raise UsageError(f"manifest {path}: no slides in it, only a header")
    requests: dict[str, SlideRequest] = {}
    for line, row in rows:
        request = _request(path, line, row)
        if (seen := requests.get(request.slide)) is not None:
            raise UsageError(
                f"manifest {path}, line {line}: slide {request.slide} is listed twice (patients {seen.patient}, {request.patient})"
            )
        requests[request.slide] = request
    return list(requests.values())


def _check_columns(path: Path, columns: list[str]) -> None:
    unknown = [c for c in columns if c not in REQUIRED + OPTIONAL]
    if unknown:
        near = difflib.get_close_matches(unknown[0], REQUIRED + OPTIONAL, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"manifest {path}: unknown column {unknown[0]!r}{hint} Columns are {', '.join(REQUIRED)} and optionally {', '.join(OPTIONAL)}"
        )
    missing = [c for c in REQUIRED if c not in columns]
    if missing:
        raise UsageError(
            f"manifest {path}: column {missing[0]!r} is missing (leave a value empty where it is unknown, but keep the column)"
        )


def _request(path: Path, line: int, row: dict[str, str | None]) -> SlideRequest:
    where = f"manifest {path}, line {line}"
    if None in row:
        raise UsageError(f"{where}: more values than columns")
    values = {key: (value or "").strip() for key, value in row.items()}
    for key in ("patient", "slide", "path"):
        if not values[key]:
            raise UsageError(f"{where}: {key} is empty")
    try:
        target = source_path(values["path"], path.parent)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    return SlideRequest(
        values["patient"],
        values["slide"],
        (target,),
        volume_ul(values["blood_volume_ul"], where),
        values.get("notes") or None,
        values.get("pattern") or None,
        values.get("channels") or None,
        values.get("projection") or "none",
    )
