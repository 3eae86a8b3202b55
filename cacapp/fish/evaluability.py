"""Evaluable nuclei, and for every other one the reason why it is not counted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.types import Array, Instance, Shapes

EDGE = "edge"
AREA = "area"
AGGREGATE = "aggregate"
SOLIDITY = "solidity"
FOCUS = "focus"
SHARED_SIGNAL = "shared_signal"
SATURATED = "saturated"
NO_SIGNAL = "no_signal"
IMPLAUSIBLE = "implausible_number"
GRANULAR = "granular"
DUPLICATE = "duplicate"
REASONS = (EDGE, AREA, AGGREGATE, SOLIDITY, FOCUS, SHARED_SIGNAL, SATURATED, NO_SIGNAL, IMPLAUSIBLE, GRANULAR, DUPLICATE)
OF_CHANNELS = (SATURATED, NO_SIGNAL, IMPLAUSIBLE)  # the nucleus itself is sound
SINGLE_RANGE = (0.5, 1.6)  # of the median area: a smaller nucleus is a fragment, a larger one may be two in one outline
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Population:
    """Properties of the single nuclei of a frame or slide.

    Attributes:
        n: number of single nuclei.
        area_px: their median area.
        focus: the median of their focus measure, NaN where unknown.
    """

    n: int
    area_px: float
    focus: float


def single_nuclei(shapes: Shapes, focus: Array | None, assay: Assay) -> Population:
    """Estimate the population of single nuclei: solid, off the frame's edge, inside the area gate, and of like area.

    The median area is taken again over those within 0.5 to 1.6 of it, so that fragments and aggregates do not shift it.

    Args:
        shapes: features of N instances.
        focus: (N,) sharpness of each, in any unit, higher is sharper; NaN where unknown. None: not measured.
    """
    gate = assay.nuclei
    ok = ~shapes.on_edge & (shapes.solidity >= gate.single_solidity)
    if shapes.area_um2 is not None:
        ok &= (shapes.area_um2 >= gate.min_area_um2) & (shapes.area_um2 <= gate.max_area_um2)
    like = ok
    for _ in range(ROUNDS):
        if not like.any():
            break
        median = np.median(shapes.area_px[like])
        like = ok & (shapes.area_px >= SINGLE_RANGE[0] * median) & (shapes.area_px <= SINGLE_RANGE[1] * median)
    if not like.any():
        return Population(0, float("nan"), float("nan"))
    sharp = np.full(len(shapes), np.nan) if focus is None else np.asarray(focus, np.float64)
    known = sharp[like & np.isfinite(sharp)]
    return Population(int(like.sum()), float(np.median(shapes.area_px[like])), float(np.median(known)) if len(known) else float("nan"))


def edge_contact_diameters(nucleus: Instance, height_px: int, width_px: int) -> float:
    """Return the length of the longest contact of a nucleus with one edge of its frame, in diameters of a disk of its area.

    A disk that is cut by a chord of 0.25 diameters lacks 0.3 % of its area, by one of 0.5 diameters 3 %.
    """
    x, y, w, h = nucleus.bbox_xywh
    sides = (
        (x <= 0, nucleus.mask[:, 0]),
        (y <= 0, nucleus.mask[0]),
        (x + w >= width_px, nucleus.mask[:, -1]),
        (y + h >= height_px, nucleus.mask[-1]),
    )
    contact_px = max((int(np.count_nonzero(side)) for touches, side in sides if touches), default=0)
    return contact_px / (2 * math.sqrt(np.count_nonzero(nucleus.mask) / math.pi))


def judge_nuclei(
    shapes: Shapes,
    focus: Array | None,
    assay: Assay,
    *,
    in_overlap: Array | None = None,
    saturated: Array | None = None,
    plateau: Array | None = None,
    counts: Array | None = None,
    granular: Array | None = None,
    undivided: Array | None = None,
    population: Population | None = None,
) -> list[str | None]:
    """Return for each nucleus the reason why it is not evaluable, the first that applies, or None.

    edge: touches the frame's edge over more than the assay allows, so part of it may be missing.
    area: smaller or larger than a nucleus can be (µm² where the pixel size is known, else multiples of the population's median).
    aggregate: several nuclei in one outline, whose summed signals would read as a false CAC: larger than the population and not solid
        or elongated, or far larger whatever its shape (the assay's list). A round tetraploid nucleus (area about 2^(2/3) = 1.6) passes,
        and so does one of any shape without concavity and seam.
    solidity: the outline is not that of one nucleus, at any size.
    focus: far less sharp than the population.
    shared_signal: a counted signal lies in the overlap with another nucleus.
    saturated: too many of its pixels are at the camera's largest value, or a patch of them in a probe's channel is as large as a signal:
        dots that were cut off low, one or several.
    no_signal: no signal in any channel (or, where the assay says so, in one): the probes did not bind.
    implausible_number: more signals of a probe than a cell can have; they are specks of dirt.
    granular: granules that shine in all channels, as in granulocytes, hide the signals.

    Args:
        shapes: features of N instances of one frame.
        focus: (N,) sharpness, higher is sharper; NaN is unknown and passes. None: not measured, no gate.
        in_overlap: (N,) bool, a counted signal lies in the overlap with another nucleus; None: not known, no gate.
        saturated: (N,) share of saturated pixels, None: not measured, no gate.
        plateau: (N,) diameter of the largest patch of saturated pixels in a probe's channel, signal diameters; None: not measured, no gate.
        counts: (N, P) signals, None: not counted, no gate.
        granular: (N,) bool, None: not measured, no gate.
        undivided: (N,) bool, the nucleus has no concavity and no seam (see ``fish.doubt.two_in_one``): no aggregate for its shape.
            None: not measured.
        population: of the slide; by default that of these instances. With fewer than ``min_population`` single nuclei the gates
            relative to it are off.

    Raises:
        ValueError: focus, in_overlap, saturated, plateau, counts, granular or undivided is of another length than shapes.
    """
    n, gate = len(shapes), assay.nuclei
    for name, values in (
        ("focus", focus),
        ("in_overlap", in_overlap),
        ("saturated", saturated),
        ("plateau", plateau),
        ("counts", counts),
        ("granular", granular),
        ("undivided", undivided),
    ):
        if values is not None and len(values) != n:
            raise ValueError(f"{name} has {len(values)} values for {n} nuclei")
    population = single_nuclei(shapes, focus, assay) if population is None else population
    known = population.n >= gate.min_population
    area = shapes.area_px / population.area_px if known else np.ones(n)
    fails: dict[str, Array] = {EDGE: shapes.on_edge if gate.exclude_on_edge else np.zeros(n, bool)}
    if shapes.area_um2 is not None:
        fails[AREA] = (shapes.area_um2 < gate.min_area_um2) | (shapes.area_um2 > gate.max_area_um2)
    else:
        fails[AREA] = (area < gate.min_area_medians) | (area > gate.max_area_medians)
    fails[AGGREGATE] = _aggregate(shapes, area, assay, undivided) if known else np.zeros(n, bool)
    fails[SOLIDITY] = shapes.solidity < gate.min_solidity
    if focus is not None and known and np.isfinite(population.focus):
        fails[FOCUS] = np.asarray(focus) < gate.min_focus_medians * population.focus
    if in_overlap is not None:
        fails[SHARED_SIGNAL] = in_overlap
    if saturated is not None:
        fails[SATURATED] = np.asarray(saturated) > gate.max_saturated_share
    if plateau is not None:
        fails[SATURATED] = np.asarray(fails.get(SATURATED, False) | (np.asarray(plateau) > gate.max_plateau_diameters))
    if counts is not None:
        none: Array = np.asarray(counts) == 0
        fails[NO_SIGNAL] = np.asarray(none.any(axis=1) if gate.exclude_without_signal else none.all(axis=1))
        fails[IMPLAUSIBLE] = np.asarray((np.asarray(counts) > gate.max_signals).any(axis=1))
    if granular is not None:
        fails[GRANULAR] = granular
    reasons: list[str | None] = [None] * n
    for reason, failed in fails.items():
        for i in np.flatnonzero(failed):
            reasons[i] = reasons[i] or reason
    return reasons


def _aggregate(shapes: Shapes, area: Array, assay: Assay, undivided: Array | None) -> Array:
    """Return (N,) bool: any of the assay's descriptions of an aggregate applies. ``area``: in medians of the population."""
    elongation = shapes.length_px / np.maximum(shapes.width_px, 1)
    found = np.zeros(len(shapes), bool)
    for rule in assay.nuclei.aggregates:
        applies = area >= rule.min_area_medians
        if rule.max_solidity is not None:
            applies &= shapes.solidity < rule.max_solidity
        if rule.min_elongation is not None:
            applies &= elongation > rule.min_elongation
        if undivided is not None and (rule.max_solidity is not None or rule.min_elongation is not None):
            applies &= ~undivided
        found |= applies
    return found
