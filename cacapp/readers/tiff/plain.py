"""Series of planes in a TIFF without OME-XML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cacapp.exceptions import CacappError
from cacapp.readers.tiff import programs
from cacapp.readers.tiff.structure import MICRO_MANAGER, REDUCED, SUBFILE, Page

_KNOWN_AXES = set("TCZ")


@dataclass(frozen=True, slots=True)
class Series:
    """Planes that belong together.

    Attributes:
        pages: (page, planes after it without directories) of each plane, in the file's order.
        axes: of the planes, the slowest first, of "T", "C" and "Z"; lengths: of these axes.
        labels: names of the planes, in the file's order; or of the channels, where there are as many; empty where unknown.
        known: attributes of a Scene.
    """

    pages: tuple[tuple[Page, int], ...]
    axes: str
    lengths: tuple[int, ...]
    labels: tuple[str, ...] = ()
    known: Mapping[str, Any] = field(default_factory=dict)

    def length(self, axis: str) -> int:
        """Return the length of an axis, 1 where there is none."""
        return self.lengths[self.axes.index(axis)] if axis in self.axes else 1

    def number(self, c: int, z: int, t: int = 0) -> int:
        """Return the number of a plane in the file's order."""
        at, found = {"C": c, "Z": z, "T": t}, 0
        for axis, length in zip(self.axes, self.lengths, strict=True):
            found = found * length + at[axis]
        return found

    def names(self, scene: int) -> tuple[str, ...]:
        """Return the channels' names: those of the file, else placeholders."""
        n = self.length("C")
        if self.labels and len(self.labels) == len(self.pages):
            return tuple(self.labels[self.number(c, 0)] for c in range(n))
        return self.labels[:n] if n <= len(self.labels) else tuple(f"Channel:{scene}:{c}" for c in range(n))


def series_of(pages: Sequence[Page], size: int) -> list[Series]:
    """Return the series of a file, by the metadata of the program that wrote it, else planes of equal size together.

    Args:
        size: of the file, bytes.

    Raises:
        CacappError: planes that the metadata declares are not there, or axes do not say what they are.
    """
    description = pages[0].text()
    imagej = programs.imagej_values(description)
    if MICRO_MANAGER in pages[0].raw:
        found = _micro_manager(pages)
        if found:
            return found
    if imagej:
        return _imagej(pages, imagej, size)
    if programs.metaseries(description) is not None:
        return _metaseries(pages)
    return _shaped(pages) if programs.tifffile_shape(description) is not None else _equal(pages)


def _check_axes(axes: str, lengths: Sequence[int]) -> str:
    """Return the axes with one unlabelled axis as that of the channels."""
    unknown = [a for a in axes if a not in _KNOWN_AXES]
    if not unknown:
        return axes
    if len(unknown) > 1 or "C" in axes:
        raise CacappError(f"has axes that do not say what they are ({axes}, {tuple(lengths)}); export it as OME-TIFF")
    return axes.replace(unknown[0], "C")


def _imagej(pages: Sequence[Page], values: dict[str, str], size: int) -> list[Series]:
    declared, first = programs.imagej_planes(values), pages[0]
    chosen = [(page, 0) for page in pages]
    if len(pages) == 1 and declared > 1:  # large stacks have one directory for all planes
        height, width, samples = first.shape
        nbytes = height * width * samples * first.dtype.itemsize
        start = next(first.tags[t] for t in (273, 324) if first.tags.get(t))[0]
        if start + declared * nbytes > size:
            raise CacappError(f"truncated: pixels lie beyond its end ({size} bytes); copy or export it again")
        chosen = [(first, skip) for skip in range(declared)]
    if len(chosen) < declared:
        raise CacappError(f"truncated: it declares {declared} planes and holds {len(chosen)}; copy or export it again")
    axes, lengths = programs.imagej_axes(values, declared)
    known = {"pixel_size_xy_um": programs.imagej_pixel_size(values, first)}
    if len(chosen) > declared or math.prod(lengths) != declared or len({p.shape for p, _ in chosen}) > 1:
        return [Series(s.pages, s.axes, s.lengths, known=known) for s in _equal(pages)]
    return [Series(tuple(chosen), _check_axes(axes, lengths), lengths, tuple(programs.imagej_labels(first)), known)]


def _equal(pages: Sequence[Page]) -> list[Series]:
    """Return pages of equal size and type as series, without those that are a smaller version of another one."""
    groups: dict[Any, list[Page]] = {}
    for page in pages:
        if page.number == 0 or not page.one(SUBFILE, 0) & REDUCED:
            groups.setdefault((page.shape, page.dtype), []).append(page)
    return [_series([(page, 0) for page in group]) for group in groups.values()]


def _series(pages: Sequence[tuple[Page, int]], **known: Any) -> Series:
    several = len(pages) > 1
    return Series(tuple(pages), "C" if several else "", (len(pages),) if several else (), **known)


def _shaped(pages: Sequence[Page]) -> list[Series]:
    found, at = [], 0
    while at < len(pages):
        first = pages[at]
        meta = programs.tifffile_shape(first.text())
        if meta is None:
            return _equal(pages)
        shape = [n for n in meta["shape"] if n > 0]
        height, width, samples = first.shape
        planes, rest = divmod(math.prod(shape), height * width * samples)
        if rest or planes < 1:
            return _equal(pages)
        one_directory = bool(meta.get("truncate")) and planes > 1
        if not one_directory and at + planes > len(pages):
            raise CacappError(f"truncated: it declares {planes} planes and holds {len(pages) - at}; copy or export it again")
        chosen = [(first, i) for i in range(planes)] if one_directory else [(page, 0) for page in pages[at : at + planes]]
        if len({(p.shape, p.dtype) for p, _ in chosen}) > 1:
            return _equal(pages)
        axes = str(meta.get("axes") or "")
        leading = [(a, n) for a, n in zip(axes, shape, strict=False) if a not in "YXS" and n > 1] if len(axes) == len(shape) else []
        if math.prod(n for _, n in leading) != planes:
            # without axes: those before the page's own
            own = {height, width, samples} if samples > 1 else {height, width}
            leading = [("Q", n) for n in shape[: len(shape) - len(own)] if n > 1]
            if math.prod(n for _, n in leading) != planes:
                leading = [("Q", planes)] if planes > 1 else []
        letters, lengths = "".join(a for a, _ in leading), tuple(n for _, n in leading)
        found.append(Series(tuple(chosen), _check_axes(letters, lengths), lengths, tuple(programs.tifffile_labels(meta))))
        at += 1 if one_directory else planes
    return found


def _metaseries(pages: Sequence[Page]) -> list[Series]:
    about = [programs.metaseries(page.text()) or {} for page in pages]
    names = [str(one.get("channel") or "") for one in about]
    known = {name: about[0][name] for name in ("pixel_size_xy_um", "stage_xy_um")}
    (one, *others) = _equal(pages)
    if others:
        return [one, *others]
    z_stack = len(set(names)) == 1 and len(pages) > 1
    exposures = (about[0]["exposure_ms"],) if z_stack else tuple(one.get("exposure_ms") for one in about)
    axes, labels = ("Z", tuple(names[:1])) if z_stack else (one.axes, tuple(names))
    return [Series(one.pages, axes, one.lengths, labels, {**known, "exposures_ms": exposures})]


def _micro_manager(pages: Sequence[Page]) -> list[Series]:
    """Return a series for each position; empty where the planes do not say where they belong."""
    positions: dict[int, dict[tuple[int, int, int], tuple[Page, dict[str, Any]]]] = {}
    for page in pages:
        about = programs.micro_manager(page)
        at = [about.get(name) if about else None for name in ("PositionIndex", "FrameIndex", "SliceIndex", "ChannelIndex")]
        if about is None or not all(type(i) is int and i >= 0 for i in at[1:]):
            return []
        p, t, z, c = (i or 0 for i in at)
        if positions.setdefault(p, {}).setdefault((t, z, c), (page, about))[0] is not page:
            return []
    found = []
    for planes in positions.values():
        n_t, n_z, n_c = (max(at[i] for at in planes) + 1 for i in range(3))
        order = [(t, z, c) for t in range(n_t) for z in range(n_z) for c in range(n_c)] if n_t * n_z * n_c == len(planes) else []
        if set(order) != set(planes):
            raise CacappError(f"holds {len(planes)} of the {n_t * n_z * n_c} planes that Micro-Manager numbers; export it again")
        abouts = [planes[0, 0, c][1] for c in range(n_c)]
        names = tuple(str(about.get("Channel") or about.get("ChannelName") or "") for about in abouts)
        px = abouts[0].get("PixelSizeUm")
        size = (float(px), float(px)) if isinstance(px, int | float) and px > 0 else None
        stage = tuple(v if isinstance(v := abouts[0].get(f"{axis}PositionUm"), int | float) else None for axis in "XY")
        exposures = tuple(v if isinstance(v := about.get("Exposure-ms"), int | float) and v > 0 else None for about in abouts)
        known = {"pixel_size_xy_um": size, "stage_xy_um": stage, "exposures_ms": exposures}
        found.append(Series(tuple((planes[at][0], 0) for at in order), "TZC", (n_t, n_z, n_c), names, known))
    return found
