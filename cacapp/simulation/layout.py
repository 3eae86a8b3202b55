"""Positions of nuclei and probe copies: visible masks, overlaps, clusters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from cacapp.exceptions import CacappError
from cacapp.simulation.bank import NucleusBank
from cacapp.simulation.copies import draw_copies
from cacapp.simulation.model import SlideModel
from cacapp.simulation.outline import draw_outline, fill
from cacapp.types import Array

TRIES_PER_NUCLEUS = 400
EDGE_PX = 2  # whole nuclei keep this distance from the frame's edge


@dataclass(frozen=True, slots=True)
class PlacedNucleus:
    """Nucleus at its place in a frame.

    Attributes:
        label: its value in the label image.
        kind, copies: kind of cell; copies of the four probes that are visible.
        top_px, left_px: position of its mask's box; negative where the frame's edge cuts it.
        mask: (h, w) bool, the whole outline.
        area_px: visible pixels.
        signals_yx: four arrays (n, 2) float64 in frame coordinates, px.
        texture: (h, w) float32 DAPI brightness of a nucleus from a picture, mean 1 over the mask; None: chromatin is drawn.
    """

    label: int
    kind: str
    copies: tuple[int, ...]
    top_px: int
    left_px: int
    mask: Array
    area_px: int
    signals_yx: tuple[Array, ...]
    texture: Array | None = None


def place_copies(rng: np.random.Generator, model: SlideModel, room: Array, copies: tuple[int, ...]) -> list[Array] | None:
    """Draw the positions of all copies inside ``room`` ((h, w) bool), at least the model's spacings apart; None where they do not fit."""
    points = np.argwhere(room)
    if not len(points):
        return None
    own, others = model.px(model.spacing_um) ** 2, model.px(model.probe_spacing_um) ** 2
    placed: list[Array] = []
    for count in copies:
        mine: list[Array] = []
        for candidate in rng.integers(len(points), size=60 * max(1, count)):
            if len(mine) == count:
                break
            yx = points[candidate] + rng.uniform(-0.4, 0.4, 2)
            clear = all(((yx - q) ** 2).sum() >= own for q in mine)
            if clear and (not others or all(((group - yx) ** 2).sum(axis=1).min(initial=np.inf) >= others for group in placed)):
                mine.append(yx)
        if len(mine) < count:
            return None
        placed.append(np.array(mine).reshape(-1, 2))
    return placed


class Layout:
    """Frame to which nuclei are added one after the other; the first one lies on top.

    Attributes:
        labels: (height_px, width_px) int32, the visible part of each nucleus.
        nuclei: those added so far.
    """

    def __init__(self, model: SlideModel, height_px: int, width_px: int, bank: NucleusBank | None = None) -> None:
        self.model = model
        self.bank = bank
        self.labels = np.zeros((height_px, width_px), np.int32)
        self.nuclei: list[PlacedNucleus] = []

    def add(self, rng: np.random.Generator, kind: str) -> PlacedNucleus:
        """Add one nucleus of ``kind`` (``cut``: a normal nucleus that the frame's edge cuts).

        Raises:
            CacappError: no room was found.
        """
        copies = draw_copies(rng, "normal" if kind == "cut" else kind)
        for attempt in range(TRIES_PER_NUCLEUS):
            if attempt % 8 == 0:
                mask, texture = self._draw_nucleus(rng, float(np.mean(copies)))
            position = self._propose(rng, mask.shape, kind == "cut")
            placed = None if position is None else self._try(rng, kind, copies, mask, *position)
            if placed is not None:
                self.nuclei.append(replace(placed, texture=texture))
                return self.nuclei[-1]
        height, width = self.labels.shape
        raise CacappError(
            f"simulation: no room for nucleus {len(self.nuclei) + 1} ({kind}) in {height} x {width} px; "
            "ask for fewer nuclei, a larger frame or a smaller spacing_um"
        )

    def _draw_nucleus(self, rng: np.random.Generator, mean_copies: float) -> tuple[Array, Array | None]:
        model = self.model
        growth = max(1.0, mean_copies / 2) ** model.ploidy_growth
        diameter_um = max(0.55 * model.diameter_um, rng.normal(model.diameter_um, model.diameter_sd_um)) * growth
        if self.bank is not None:
            return self.bank.draw(rng, model.px(diameter_um))
        return fill(draw_outline(rng, model, model.px(diameter_um))), None

    def _propose(self, rng: np.random.Generator, shape: tuple[int, ...], cut: bool) -> tuple[int, int] | None:
        (h, w), (height, width) = shape, self.labels.shape
        if cut:
            top, left = int(rng.integers(-h // 2, height - h // 2)), int(rng.integers(-w // 2, width - w // 2))
            beyond = int(rng.uniform(0.25, 0.7) * (h if (side := int(rng.integers(4))) < 2 else w))
            if side < 2:
                top = -beyond if side == 0 else height - h + beyond
            else:
                left = -beyond if side == 2 else width - w + beyond
            return top, left
        room_y, room_x = height - h - 2 * EDGE_PX, width - w - 2 * EDGE_PX
        if room_y <= 0 or room_x <= 0:
            return None
        if self.nuclei and rng.random() < self.model.clustered:
            near = self.nuclei[rng.integers(len(self.nuclei))]
            angle, (nh, nw) = rng.uniform(0, 2 * np.pi), near.mask.shape
            reach = rng.uniform(self.model.touch_gap, 1.05) / 2
            y = near.top_px + nh / 2 + reach * (nh + h) / 2 * 2 * np.sin(angle) - h / 2
            x = near.left_px + nw / 2 + reach * (nw + w) / 2 * 2 * np.cos(angle) - w / 2
        else:
            y, x = rng.uniform(EDGE_PX, height - h - EDGE_PX), rng.uniform(EDGE_PX, width - w - EDGE_PX)
        inside = EDGE_PX <= y <= height - h - EDGE_PX and EDGE_PX <= x <= width - w - EDGE_PX
        return (int(y), int(x)) if inside else None

    def _try(self, rng: np.random.Generator, kind: str, copies: tuple[int, ...], mask: Array, top: int, left: int) -> PlacedNucleus | None:
        h, w = mask.shape
        height, width = self.labels.shape
        cut_y, cut_x = max(0, -top), max(0, -left)
        part = mask[cut_y : height - top, cut_x : width - left]
        window = self.labels[top + cut_y : min(height, top + h), left + cut_x : min(width, left + w)]
        free = part & (window == 0)
        visible, shown = int(free.sum()), int(part.sum())
        if shown == 0 or shown - visible > self.model.overlap_max * shown:
            return None
        if visible < shown:  # keep one connected piece: a nucleus is never cut in two by its neighbour
            n, pieces = cv2.connectedComponents(free.astype(np.uint8), connectivity=4)
            if n > 2:
                sizes = np.bincount(pieces.ravel())[1:]
                if sizes.max() < 0.97 * visible:
                    return None
                free = pieces == 1 + int(sizes.argmax())
                visible = int(free.sum())
        own = np.zeros(mask.shape, bool)
        own[cut_y : cut_y + free.shape[0], cut_x : cut_x + free.shape[1]] = free
        depth = cv2.distanceTransform(np.pad((mask if kind == "cut" else own).astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        spots = place_copies(rng, self.model, depth > self.model.px(self.model.signal_rim_um), copies)
        if spots is None:
            return None
        if kind == "cut":  # only what the frame shows counts
            inside = [own[tuple(np.clip(np.round(s), 0, [h - 1, w - 1]).astype(int).T)] for s in spots]
            spots = [s[keep] for s, keep in zip(spots, inside, strict=True)]
        label = len(self.nuclei) + 1
        window[free] = label
        signals = tuple(s + np.array([top, left]) for s in spots)
        return PlacedNucleus(label, kind, tuple(len(s) for s in spots), top, left, mask, visible, signals)
