"""One frame's nuclei: the algorithms of a plan, what they find in DAPI, and the rows it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlmodel import Session

from cacapp import host as guard
from cacapp.api import InstanceFilter, Prompter, Segmenter
from cacapp.arrays.focus import focus_of, saturated_share
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
    """The built algorithms of a plan; ``prompter`` None where the segmenter needs no prompts."""

    prompter: Prompter | None
    segmenter: Segmenter
    filters: Sequence[InstanceFilter]


@dataclass(frozen=True, slots=True)
class SegmentedFrame:
    """What segmentation gives for one frame, before it is stored."""

    instances: list[Instance]
    shapes: Shapes
    centroids_yx: Array
    focus: Array
    verdicts: dict[str, list[str | None]]
    limits: dict[str, dict[str, float]]
    saturated_share: float


def segment_frame(algorithms: Algorithms, source: FrameSource) -> SegmentedFrame:
    """Opens a frame (refusing a missing or changed file), reads DAPI and runs prompter, segmenter and filters on it."""
    frame = open_frame(source)
    dapi = frame.channel(DAPI)
    prompts = guard.prompt(algorithms.prompter, dapi, frame.pixel_size_um) if algorithms.prompter else Prompts.empty()
    instances = guard.segment(algorithms.segmenter, dapi, prompts, frame.pixel_size_um)
    return describe_nuclei(dapi, instances, frame.pixel_size_um, algorithms.filters)


def describe_nuclei(
    dapi: Array, instances: list[Instance], pixel_size_um: float | None, filters: Sequence[InstanceFilter] = ()
) -> SegmentedFrame:
    """Nuclei with their shapes, their focus and the filters' verdicts, as a segmentation stores them. dapi: (Y, X)."""
    height_px, width_px = dapi.shape
    shapes = shapes_of(instances, height_px, width_px, pixel_size_um)
    verdicts, limits = {}, {}
    for one in filters:
        verdicts[one.name], limits[one.name] = guard.judge(one, shapes)
    return SegmentedFrame(
        instances, shapes, centroids(instances), focus_of(dapi, instances), verdicts, limits, saturated_share(dapi, instances)
    )


def build_algorithms(host: Host, plan: SegmentPlan) -> tuple[list[Choice], Algorithms]:
    """The plan's algorithms and their records. Raises UsageError for an unknown name or parameter."""

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
    """Stores a frame's cells; returns their number, and details for the ledger."""
    rejected = list(zip(*result.verdicts.values(), strict=True)) if result.verdicts else [() for _ in result.instances]
    reasons = [next((r for r in row if r is not None), None) for row in rejected]
    frame_id = frame.id
    write_cells(session, run_id, frame_id, result.instances, result.shapes, result.centroids_yx, result.focus, reasons, result.verdicts)
    sharpness = float(np.median(result.focus)) if len(result.focus) else None
    stored = session.get_one(FrameRow, frame_id)
    stored.focus = sharpness
    return len(result.instances), {"limits": result.limits, "saturated_share": round(result.saturated_share, 5), "focus": sharpness}


def warning_of(frame: FrameRow, result: SegmentedFrame) -> str | None:
    """A line about the frame's nuclei worth a person's attention, or None."""
    if not result.instances:
        return "no nuclei found in DAPI"
    if result.saturated_share > SATURATED_WARNING:
        return f"{result.saturated_share:.0%} of the nuclei's DAPI pixels are saturated; expose less"
    return None
