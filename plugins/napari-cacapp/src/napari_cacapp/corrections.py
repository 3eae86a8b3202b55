"""Changes in the layers since they were opened, as actions of a review."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from cacapp.exceptions import UsageError
from cacapp.steps.review.decide import Action
from napari_cacapp.layers import KEY, NOT_EVALUABLE, OPEN, LayerData
from napari_cacapp.slide import NEW, SlideView, Spot

SAME_DOT_PX = 2.0
"""Two places nearer than this are one signal (about 6 px wide), such as a slightly moved point or one drawn on a dot."""


@dataclass(frozen=True, slots=True)
class Correction:
    """Decision on one cell."""

    cell_id: int
    action: Action


def slide_of(layers: Sequence[LayerData]) -> SlideView:
    """Return the slide from which layers were opened. Raises UsageError if there is none, or several."""
    tokens = {about["metadata"][KEY]["slide"] for _, about, _ in layers if KEY in (about.get("metadata") or {})}
    if len(tokens) != 1 or next(iter(tokens)) not in OPEN:
        raise UsageError("save the layers of one slide, as cacapp opened them; other layers are no reviews")
    return OPEN[tokens.pop()]


def corrections(view: SlideView, layers: Sequence[LayerData]) -> list[Correction]:
    """Return the corrections: signals removed, then added, then classes and comments; empty if nothing changed.

    Raises:
        UsageError: a signal outside nuclei, a class that is not in the assay, or "not evaluable" without a reason.
    """
    found: list[Correction] = []
    for data, about, kind in layers:
        layer = (about.get("metadata") or {}).get(KEY, {}).get("layer")
        if kind == "points" and layer in view.channels:
            found += _signals(view, layer, np.asarray(data, float).reshape(-1, 3))
    for _, about, kind in layers:
        layer = (about.get("metadata") or {}).get(KEY, {}).get("layer")
        if kind == "points" and layer == "cells":
            found += _calls(view, about["features"])
    return found


def _signals(view: SlideView, channel: str, data: Any) -> list[Correction]:
    before = [s for s in view.spots if s.channel == channel]
    places = np.array([[view.frame_of[s.cell_id], s.y_px, s.x_px] for s in before], float).reshape(-1, 3)
    kept, drawn = _matched(places, data)
    gone = sorted((s for i, s in enumerate(before) if i not in kept), key=lambda s: s.number)  # the last added signal is removed first
    return [Correction(s.cell_id, _removed(s)) for s in gone] + [_added(view, channel, data[i]) for i in drawn]


def _matched(before: Any, after: Any) -> tuple[set[int], list[int]]:
    """Match places ``before`` and ``after``, (N, 3), one to one, the nearest first; return the unchanged ones and the new ones."""
    far = np.array([1e6, 1.0, 1.0])  # places in different frames never match
    near = cKDTree(before * far).query_ball_point(after * far, SAME_DOT_PX) if len(before) and len(after) else [[] for _ in after]
    pairs = sorted((float(np.hypot(*(after[j] - before[i])[1:])), i, j) for j, some in enumerate(near) for i in some)
    kept: set[int] = set()
    placed: set[int] = set()
    for _, i, j in pairs:
        if i not in kept and j not in placed:
            kept.add(i)
            placed.add(j)
    return kept, [j for j in range(len(after)) if j not in placed]


def _removed(spot: Spot) -> Action:
    if spot.number > NEW:
        return Action("signal_removed", channel=spot.channel, number=spot.number)
    return Action("signal_removed", channel=spot.channel, added=-2 - spot.number)


def _added(view: SlideView, channel: str, place: Any) -> Correction:
    frame, y, x = round(place[0]), float(place[1]), float(place[2])
    cell_id = view.cell_at(frame, y, x) if 0 <= frame < len(view.frames) else None
    if cell_id is None:
        name = view.frames[frame].name if 0 <= frame < len(view.frames) else frame
        raise UsageError(f"{channel} signal at frame {name}, y {y:.0f}, x {x:.0f} lies in no nucleus; move or delete it, nothing was saved")
    for dot in view.left_out.get(cell_id, []):
        if dot.channel == channel and np.hypot(dot.y_px - y, dot.x_px - x) <= SAME_DOT_PX:
            return Correction(cell_id, Action("signal_added", channel=channel, number=dot.number))
    return Correction(cell_id, Action("signal_added", channel=channel, y_px=y, x_px=x))


def _calls(view: SlideView, features: Any) -> list[Correction]:
    found = []
    for row in features.to_dict("records"):
        cell_id, (name, decided, reason) = int(row["cell_id"]), shown_of(row)
        if cell_id not in view.shown:
            continue
        had_name, had_decided, had_reason = view.shown[cell_id]
        note = (reason if reason != had_reason else "") or None
        if name != had_name:
            if name not in (*view.classes, NOT_EVALUABLE):
                raise UsageError(
                    f"cell {cell_id}: class {name!r} is none of {', '.join((*view.classes, NOT_EVALUABLE))}; nothing was saved"
                )
            if name == NOT_EVALUABLE and not reason:
                raise UsageError(f"cell {cell_id}: say why it is not evaluable, in its reason; nothing was saved")
            if name == NOT_EVALUABLE:
                found.append(Correction(cell_id, Action("not_evaluable", reason=reason)))
            else:
                found.append(Correction(cell_id, Action("class", class_=name, reason=note)))
        elif decided and not had_decided:
            found.append(Correction(cell_id, Action("accept", reason=note)))
        elif note:
            found.append(Correction(cell_id, Action("comment", reason=note)))
    return found


def shown_of(row: dict[str, Any]) -> tuple[str, bool, str]:
    """Return class, "decided" and reason of a row of the cells' features."""
    return str(row["class"]), bool(row["decided"]), str(row["reason"] or "").strip()
