"""Segment one frame: build the algorithms of a plan, find the nuclei in DAPI, store them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlmodel import Session

from cacapp import host as guard
from cacapp.api import InstanceFilter, Prompter, Segmenter
from cacapp.arrays.focus import focus_of, saturated_share
from cacapp.arrays.nuclear_size import impossible_width
from cacapp.arrays.shapes import centroids, shapes_of
from cacapp.db.cells.nuclei import write_cells
from cacapp.db.tables import FrameRow
from cacapp.frames import open_frame
from cacapp.host import Host
from cacapp.runs.choice import Choice, build_algorithm
from cacapp.runs.plan import SegmentPlan
from cacapp.types import DAPI, Array, FrameSource, Instance, Prompts, Shapes

SATURATED_WARNING = 0.02


@dataclass(frozen=True, slots=True)
class Algorithms:
    """The algorithms of a plan; ``prompter`` is None where the segmenter needs no prompts."""

    prompter: Prompter | None
    segmenter: Segmenter
    filters: Sequence[InstanceFilter]


@dataclass(frozen=True, slots=True)
class SegmentedFrame:
    """The result of a segmentation for one frame, before it is stored."""

    instances: list[Instance]
    shapes: Shapes
    centroids_yx: Array
    focus: Array
    verdicts: dict[str, list[str | None]]
    limits: dict[str, dict[str, float]]
    saturated_share: float


def segment_frame(algorithms: Algorithms, source: FrameSource) -> SegmentedFrame:
    """Open a frame, read DAPI, and run prompter, segmenter and filters. Raises CacappError for a missing or changed file."""
    frame = open_frame(source)
    dapi = frame.channel(DAPI)
    prompts = guard.prompt(algorithms.prompter, dapi, frame.pixel_size_um) if algorithms.prompter else Prompts.empty()
    instances = guard.segment(algorithms.segmenter, dapi, prompts, frame.pixel_size_um)
    return describe_nuclei(dapi, instances, frame.pixel_size_um, algorithms.filters)


def describe_nuclei(
    dapi: Array, instances: list[Instance], pixel_size_um: float | None, filters: Sequence[InstanceFilter] = ()
) -> SegmentedFrame:
    """Return nuclei with their shapes, their focus and the filters' verdicts, as they are stored. dapi: (Y, X)."""
    height_px, width_px = dapi.shape
    shapes = shapes_of(instances, height_px, width_px, pixel_size_um)
    verdicts, limits = {}, {}
    for one in filters:
        verdicts[one.name], limits[one.name] = guard.judge(one, shapes)
    return SegmentedFrame(
        instances, shapes, centroids(instances), focus_of(dapi, instances), verdicts, limits, saturated_share(dapi, instances)
    )


def build_algorithms(host: Host, plan: SegmentPlan) -> tuple[list[Choice], Algorithms]:
    """Build the plan's algorithms; return their choices too. Raises UsageError for an unknown name or parameter."""

    def build(kind: str, name: str) -> tuple[Choice, Any]:
        return build_algorithm(host, kind, name, plan.params.get(name, {}), plan.recorded)

    segmenter_choice, segmenter = build("segmenter", plan.segmenter)
    choices, prompter = [], None
    if segmenter.needs_prompts:
        choice, prompter = build("prompter", plan.prompter)
        choices.append(choice)
    choices.append(segmenter_choice)
    filters = []
    for name in plan.filters:
        choice, built = build("filter", name)
        choices.append(choice)
        filters.append(built)
    return choices, Algorithms(prompter, segmenter, tuple(filters))


def write_segmented(session: Session, run_id: int, frame: FrameRow, result: SegmentedFrame) -> tuple[int, dict[str, Any]]:
    """Store a frame's cells; return their number, and details for the ledger."""
    rejected = list(zip(*result.verdicts.values(), strict=True)) if result.verdicts else [() for _ in result.instances]
    reasons = [next((r for r in row if r is not None), None) for row in rejected]
    frame_id = frame.id
    write_cells(session, run_id, frame_id, result.instances, result.shapes, result.centroids_yx, result.focus, reasons, result.verdicts)
    sharpness = float(np.median(result.focus)) if len(result.focus) else None
    stored = session.get_one(FrameRow, frame_id)
    stored.focus = sharpness
    return len(result.instances), {"limits": result.limits, "saturated_share": round(result.saturated_share, 5), "focus": sharpness}


def warning_of(frame: FrameRow, result: SegmentedFrame) -> str | None:
    """Return a line about the frame's nuclei that a person should know, or None."""
    if not result.instances:
        return "no nuclei found in DAPI"
    if result.saturated_share > SATURATED_WARNING:
        return f"{result.saturated_share:.0%} of the nuclei's DAPI pixels are saturated; expose less"
    return impossible_width(result.shapes.area_px, frame.pixel_size_um)
