"""Simulated slides on disk: OME-TIFF frames, instance labels and the truth table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from cacapp.exceptions import CacappError, UsageError
from cacapp.simulation.bank import NucleusBank
from cacapp.simulation.dots import Dot
from cacapp.simulation.frame import SimulatedFrame, TruthRow, simulate_frame
from cacapp.simulation.instrument import draw_instrument
from cacapp.simulation.model import SlideModel
from cacapp.types import CHANNELS, PROBE_CHANNELS, Array

TRUTH_COLUMNS = ("frame", "label", "y", "x", "area_px", "kind", *PROBE_CHANNELS)
STATE_COLUMNS = ("z_um", "thickness_um", "replicated", "granular")
DOT_COLUMNS = ("frame", "label", "channel", "y", "x", "z_um", "height_gv", "sigma_um", "kind", "form")
COMPRESSIONS = ("none", "deflate")
MAX_FRAMES = 10_000
Progress = Callable[[int, int], None]


def frame_rng(seed: int, index: int) -> np.random.Generator:
    """Return the random generator of frame ``index``: a frame does not depend on the number of frames."""
    return np.random.default_rng([seed, index])


def slide_rng(seed: int) -> np.random.Generator:
    """Return the random generator of what all frames of a slide share."""
    return np.random.default_rng([seed, MAX_FRAMES])


def write_slide(
    out: Path,
    model: SlideModel,
    *,
    frames: int,
    seed: int,
    height_px: int,
    width_px: int,
    nuclei: int | Sequence[int],
    kinds: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None,
    compression: str = "deflate",
    bank: NucleusBank | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write frameNN.ome.tif (CYX), frameNN_labels.tif (int32) and truth.csv into ``out``; the same arguments give the same bytes.

    Of a model with troubles, truth.csv has the states of the nuclei too; dots.csv lists each copy and each light that is no copy, and
    slide.json what all frames share.

    Args:
        nuclei, kinds: as for simulate_frame, for all frames or one of each per frame.
        compression: "deflate" or "none", of the frames; labels are always deflated.
        bank: nuclei of labelled images; None: they are drawn.
        progress: called with (frames done, frames in all).

    Returns:
        The paths of the frames.

    Raises:
        UsageError: parameters that are out of range or contradict each other.
        CacappError: the folder cannot be written, or nuclei do not fit.
    """
    if compression not in COMPRESSIONS:
        raise UsageError(f"compression: {compression!r} is unknown; there are {', '.join(COMPRESSIONS)}")
    if not 1 <= frames <= MAX_FRAMES:
        raise UsageError(f"frames: {frames} is not in 1..{MAX_FRAMES}")
    if seed < 0:
        raise UsageError(f"seed: {seed} is negative")
    per_frame_nuclei = [nuclei] * frames if isinstance(nuclei, int) else list(nuclei)
    per_frame_kinds = [kinds] * frames if kinds is None or isinstance(kinds, Mapping) else list(kinds)
    if len(per_frame_nuclei) != frames or len(per_frame_kinds) != frames:
        raise UsageError(f"nuclei and kinds: give one value, or one for each of the {frames} frames")
    digits = max(2, len(str(frames - 1)))
    rows: list[tuple[Any, ...]] = []
    dots: list[tuple[Any, ...]] = []
    paths: list[Path] = []
    instrument, troubled = draw_instrument(slide_rng(seed), model), model.troubled()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for i in range(frames):
            frame = simulate_frame(
                model,
                frame_rng(seed, i),
                height_px,
                width_px,
                per_frame_nuclei[i],
                per_frame_kinds[i],
                instrument=instrument,
                bank=bank,
            )
            name = f"frame{i:0{digits}d}"
            paths.append(out / f"{name}.ome.tif")
            write_frame(paths[-1], out / f"{name}_labels.tif", model, frame, compression)
            rows += [_truth_row(name, t, troubled) for t in frame.truth]
            dots += [_dot_row(name, dot) for dot in frame.dots] if troubled else []
            if progress is not None:
                progress(i + 1, frames)
        _write_table(out / "truth.csv", (*TRUTH_COLUMNS, *STATE_COLUMNS) if troubled else TRUTH_COLUMNS, rows)
        if troubled:
            _write_table(out / "dots.csv", DOT_COLUMNS, dots)
            facts = {"seed": seed, "model": model.model_dump(mode="json"), "instrument": instrument.record()}
            replace_text(out / "slide.json", json.dumps(facts, indent=1) + "\n")
    except OSError as e:
        raise CacappError(f"simulation: cannot write {e.filename or out}: {e.strerror or e}") from e
    return paths


def _truth_row(frame: str, t: TruthRow, with_state: bool) -> tuple[Any, ...]:
    row = (frame, t.label, f"{t.y:.2f}", f"{t.x:.2f}", t.area_px, t.kind, *t.copies)
    state = (f"{t.state.z_um:.2f}", f"{t.state.thickness_um:.2f}", int(t.state.replicated), int(t.state.granular))
    return (*row, *state) if with_state else row


def _dot_row(frame: str, d: Dot) -> tuple[Any, ...]:
    place = (f"{d.y:.2f}", f"{d.x:.2f}", f"{d.z_um:.2f}", f"{d.height_gv:.1f}", f"{d.sigma_um:.3f}")
    return (frame, d.label, CHANNELS[d.channel], *place, d.kind, d.form)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    replace_text(path, text.getvalue())


def write_frame(path: Path, labels_path: Path, model: SlideModel, frame: SimulatedFrame, compression: str) -> None:
    """Write one frame and its labels, each in one step (a temporary file, then a rename)."""
    packed = None if compression == "none" else "zlib"
    _replace_tiff(path, frame.planes, ome_xml(frame.planes, model.pixel_size_um), packed)
    _replace_tiff(labels_path, frame.labels, None, "zlib")


def ome_xml(planes: Array, pixel_size_um: float) -> str:
    """Return the OME-XML 2016-06 of a (5, Y, X) frame, without UUID or dates, so that equal pixels give equal files."""
    channels, height, width = planes.shape
    named = "".join(f'<Channel ID="Channel:0:{i}" Name={quoteattr(name)} SamplesPerPixel="1"/>' for i, name in enumerate(CHANNELS))
    data = "".join(f'<TiffData FirstC="{i}" FirstT="0" FirstZ="0" IFD="{i}" PlaneCount="1"/>' for i in range(channels))
    size = f'PhysicalSizeX="{pixel_size_um:g}" PhysicalSizeXUnit="&#181;m" PhysicalSizeY="{pixel_size_um:g}" PhysicalSizeYUnit="&#181;m"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="http://www.openmicroscopy.org/Schemas/OME/2016-06 http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd" '
        'Creator="cacapp simulation"><Image ID="Image:0" Name="simulated frame">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="{planes.dtype.name}" SizeX="{width}" SizeY="{height}" SizeC="{channels}" '
        f'SizeZ="1" SizeT="1" {size}>{named}{data}</Pixels></Image></OME>'
    )


def replace_text(path: Path, text: str) -> None:
    """Write UTF-8 text in one step; an interrupted run leaves the old file or none."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _replace_tiff(path: Path, pixels: Array, description: str | None, compression: str | None) -> None:
    import tifffile

    part = path.with_name(f".{path.name}.part")
    try:
        # metadata=None: tifffile adds neither shape strings nor dates of its own.
        tifffile.imwrite(
            part, pixels, photometric="minisblack", description=description, metadata=None, compression=compression, software="cacapp"
        )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
