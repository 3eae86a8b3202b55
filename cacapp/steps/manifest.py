"""Manifest: a CSV file with one row a slide. It is checked completely before anything is ingested."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from cacapp.exceptions import UsageError
from cacapp.exchange.csv_table import number, read_table
from cacapp.frames import check_address, is_remote
from cacapp.runs.plan import SlideRequest

REQUIRED = ("patient", "slide", "path", "blood_volume_ul")
OPTIONAL = ("notes", "pattern", "channels", "projection", "pixel_size_um")
LARGEST_PIXEL_UM = 1000.0
UNKNOWN = ("", "unknown")


def volume_ul(text: str, where: str) -> float | None:
    """Parse a blood volume in µL, None for "" or "unknown". Raises UsageError for anything but a positive number."""
    if text.strip().lower() in UNKNOWN:
        return None
    try:
        value = number(text)
    except UsageError as error:
        raise UsageError(f"{where}: blood_volume_ul: {error}") from None
    if math.isnan(value):
        raise UsageError(f"{where}: blood_volume_ul must be a number in µL, or empty where unknown; got {text!r}")
    if not 0 < value < 1e9:
        raise UsageError(f"{where}: blood_volume_ul must be above 0 µL, got {text.strip()}")
    return value


def check_pixel_size(value_um: float, where: str) -> None:
    """Raise UsageError for an edge length of a pixel that is no number above 0 and at most ``LARGEST_PIXEL_UM``."""
    if not 0 < value_um <= LARGEST_PIXEL_UM:
        raise UsageError(f"{where}: a pixel's edge length must be a number above 0, at most {LARGEST_PIXEL_UM:g} µm")


def _pixel_size(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        value = number(text)
    except UsageError as error:
        raise UsageError(f"{where}: pixel_size_um: {error}") from None
    check_pixel_size(value, f"{where}: pixel_size_um {text!r}")
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
    columns, rows = read_table(path, "manifest", REQUIRED + OPTIONAL)
    if missing := [c for c in REQUIRED if c not in columns]:
        raise UsageError(
            f"manifest {path}: column {missing[0]!r} is missing (leave a value empty where it is unknown, but keep the column)"
        )
    if not rows:
        raise UsageError(f"manifest {path}: no slides in it, only a header")
    requests: dict[str, SlideRequest] = {}
    for row in rows:
        line, request = row.line, _request(path, row.line, row.values)
        if (seen := requests.get(request.slide)) is not None:
            raise UsageError(
                f"manifest {path}, line {line}: slide {request.slide} is listed twice (patients {seen.patient}, {request.patient})"
            )
        requests[request.slide] = request
    return list(requests.values())


def _request(path: Path, line: int, values: Mapping[str, str]) -> SlideRequest:
    where = f"manifest {path}, line {line}"
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
        _pixel_size(values.get("pixel_size_um", ""), where),
    )
