"""Metadata of programs other than those that write OME-XML: ImageJ, MetaMorph's MetaSeries, Micro-Manager, tifffile."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

from cacapp.readers.tiff.structure import IMAGEJ, IMAGEJ_COUNTS, MICRO_MANAGER, X_RESOLUTION, Y_RESOLUTION, Page
from cacapp.scene import duration_ms, length_um, pixel_size_xy_um

# Fiji prefixes slice labels with the position, "c:1/5 z:1/1 - DAPI".
_SLICE_POSITION = re.compile(r"^(?:[czt]:\d+/\d+\s*)+-\s*")


def imagej_values(description: str) -> dict[str, str]:
    """Return the lines ``key=value`` that ImageJ writes; empty where it did not write the file."""
    if not description.startswith("ImageJ="):
        return {}
    return {k.strip(): v.strip() for k, sign, v in (line.partition("=") for line in description.splitlines()) if sign}


def imagej_axes(values: dict[str, str], planes: int) -> tuple[str, tuple[int, ...]]:
    """Return the axes of an ImageJ stack and their lengths, the slowest first; "I" is an axis that has no name."""
    length = {"c": "channels", "z": "slices", "t": "frames"}
    order = values.get("order", "czt")
    order = order[:3] if sorted(order[:3]) == ["c", "t", "z"] else "czt"
    found = [(axis.upper(), _positive(values.get(length[axis]))) for axis in reversed(order)]
    found = [(axis, n) for axis, n in found if n > 1]
    named = 1
    for _, n in found:
        named *= n
    if planes % named == 0 and planes > named:
        found.insert(0, ("I", planes // named))
    return "".join(axis for axis, _ in found), tuple(n for _, n in found)


def _positive(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and 0 < len(text) < 9 and int(text) > 0 else 1


def imagej_planes(values: dict[str, str]) -> int:
    """Return the number of planes that ImageJ says there are."""
    return _positive(values.get("images"))


def imagej_pixel_size(values: dict[str, str], page: Page) -> tuple[float, float] | None:
    """Return the pixel size from ImageJ's unit and the page's resolution; None where either is unknown."""
    unit = values.get("unit")
    if not unit:
        return None
    edges = []
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        px, per = (*page.tags.get(tag, ()), 0, 1)[:2]
        edges.append(length_um(per / px, unit) if px else None)
    return pixel_size_xy_um(*edges)


def imagej_labels(page: Page) -> list[str]:
    """Return the labels of slices in ImageJ's own tag, in the order of the planes; empty where there are none.

    The tag holds a header with (type, number) of each kind of entry, then the entries, whose lengths are in a tag beside it.
    """
    raw, lengths = page.raw.get(IMAGEJ, b""), page.tags.get(IMAGEJ_COUNTS, ())
    magic, kind, text = (b"IJIJ", b"labl", "utf-16-be") if page.byteorder == ">" else (b"JIJI", b"lbal", "utf-16-le")
    if raw[:4] != magic or not lengths:
        return []
    at, entry = lengths[0], 1
    for start in range(4, lengths[0] - 7, 8):
        (number,) = struct.unpack_from(page.byteorder + "I", raw, start + 4)
        sizes = lengths[entry : entry + number]
        if raw[start : start + 4] == kind:
            ends = [at]
            for size in sizes:
                ends.append(ends[-1] + size)
            return [clean_label(raw[a:b].decode(text, "replace")) for a, b in pairwise(ends)]
        at, entry = at + sum(sizes), entry + number
    return []


def clean_label(label: str) -> str:
    """Return the first line of a slice label without its position."""
    return _SLICE_POSITION.sub("", label.split("\n")[0]).strip()


def tifffile_shape(description: str) -> dict[str, Any] | None:
    """Return the JSON that tifffile writes with the shape of an array; None where there is none."""
    if not (description.startswith("{") and '"shape":' in description):
        return None
    try:
        found = json.loads(description)
    except (ValueError, RecursionError):
        return None
    shape = found.get("shape")
    return found if isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape) else None


def tifffile_labels(meta: dict[str, Any]) -> list[str]:
    """Return the channel names in tifffile's JSON."""
    channel = meta.get("Channel")
    found = meta.get("Labels") or (channel.get("Name") if isinstance(channel, dict) else None)
    return [clean_label(str(label)) for label in found] if isinstance(found, Sequence) and not isinstance(found, str) else []


def metaseries(description: str) -> dict[str, Any] | None:
    """Return what MetaMorph or MetaXpress say of a plane: ``channel`` and attributes of a Scene; None where they did not write it."""
    if not description.lstrip().startswith("<MetaData>"):
        return None
    try:
        root = ET.fromstring(description.strip())  # noqa: S314 expat expands no external entities; size is bounded by the file's
    except ET.ParseError:
        return None
    values = {e.get("id", ""): e.get("value", "") for e in root.iter() if e.tag in ("prop", "custom-prop")}

    def number(name: str) -> float | None:
        try:
            return float(values[name])
        except (KeyError, ValueError):
            return None

    unit = values.get("spatial-calibration-units", "")
    on = values.get("spatial-calibration-state", "") == "on"
    size = [length_um(number(f"spatial-calibration-{axis}"), unit) if on else None for axis in "xy"]
    stage = [length_um(number(f"stage-position-{axis}"), "um") for axis in "xy"]
    exposure = re.search(r"Exposure: ([0-9.]+) (ms|s)\b", values.get("Description", ""))
    return {
        "channel": values.get("_IllumSetting_") or re.sub(r"^Copy of ", "", values.get("image-name", "")),
        "pixel_size_xy_um": pixel_size_xy_um(*size),
        "stage_xy_um": tuple(stage),
        "exposure_ms": duration_ms(float(exposure[1]), exposure[2]) if exposure and exposure[1].count(".") < 2 else None,
    }


def micro_manager(page: Page) -> dict[str, Any] | None:
    """Return the values that Micro-Manager writes for each plane; None where it did not write the file."""
    try:
        found = json.loads(page.text(MICRO_MANAGER))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
