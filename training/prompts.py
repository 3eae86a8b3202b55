"""Batches for nuclei_t: degraded tiles, prompts of all kinds, and the masks they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tiles import SIDE_PX, degrade

from cacapp.types import Array

POINTS = 3  # one positive, up to two negatives, padded
NEGATIVES = ("none", "darkest", "neighbour", "local")
NEGATIVE_WEIGHTS = (0.25, 0.35, 0.2, 0.2)
BACKGROUND_SHARE = 0.1
SMALLEST_PX = 30


@dataclass
class Batch:
    """B tiles with N prompts.

    Attributes:
        images: (B, 1, 256, 256) uint8. labels: (B, 256, 256) int64, -1 and up: 0 background.
        image, target: (N,) int64, the tile of each prompt and the label it asks for (0: nothing is there).
        points_xy, point_labels: (N, 3, 2) float32 px, (N, 3) float32.
        boxes_xyxy: (N, 4) float32 px, jittered.
    """

    images: torch.Tensor
    labels: torch.Tensor
    image: torch.Tensor
    target: torch.Tensor
    points_xy: torch.Tensor
    point_labels: torch.Tensor
    boxes_xyxy: torch.Tensor


class Pool:
    """Scenes from a folder of shards that another process may still be filling."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shards, self.known = folder, [], set()
        self.refresh()

    def refresh(self) -> None:
        for path in sorted(self.folder.glob("*.npz")):
            if path.name not in self.known:
                self.known.add(path.name)
                with np.load(path) as data:
                    self.shards.append((data["light"], data["labels"]))

    def draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        light, labels = self.shards[rng.integers(len(self.shards))]
        i, turns = rng.integers(len(light)), int(rng.integers(4))
        light, labels = np.rot90(light[i], turns), np.rot90(labels[i], turns)
        if rng.random() < 0.5:
            light, labels = light[:, ::-1], labels[:, ::-1]
        return np.ascontiguousarray(light, np.float32), np.ascontiguousarray(labels)


def make_batch(rng: np.random.Generator, pool: Pool, tiles: int, prompts: int, *, plain: bool = False) -> Batch:
    """Draws ``tiles`` tiles with ``prompts`` prompts each; ``plain``: near-centre points with the darkest pixel, for validation."""
    images, maps, rows = [], [], []
    while len(images) < tiles:
        light, labels = pool.draw(rng)
        image = degrade(rng, light)
        found = tile_prompts(rng, image, labels, prompts, plain)
        if not found:
            continue
        rows += [(len(images), *row) for row in found]
        images.append(image)
        maps.append(labels.astype(np.int64))
    tile, target, points, kinds, boxes = (np.array(column) for column in zip(*rows, strict=True))
    return Batch(
        torch.from_numpy(np.stack(images)[:, None]),
        torch.from_numpy(np.stack(maps)),
        torch.from_numpy(tile.astype(np.int64)),
        torch.from_numpy(target.astype(np.int64)),
        torch.from_numpy(points.astype(np.float32)),
        torch.from_numpy(kinds.astype(np.float32)),
        torch.from_numpy(boxes.astype(np.float32)),
    )


def tile_prompts(rng: np.random.Generator, image: Array, labels: Array, count: int, plain: bool) -> list[tuple[int, Array, Array, Array]]:
    """(label, points (3, 2) xy, kinds (3,), box xyxy) for ``count`` prompts on one tile; nuclei repeat where there are too few."""
    areas = np.bincount(labels.ravel())
    values = np.flatnonzero(areas >= SMALLEST_PX)
    values = values[values > 0]
    if not len(values):
        return []
    ys, xs = np.nonzero(labels)
    owner = labels[ys, xs]
    n = np.maximum(np.bincount(owner, minlength=len(areas)), 1)
    centres = np.stack([np.bincount(owner, v, minlength=len(areas)) / n for v in (xs, ys)], axis=1)
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    away = np.argwhere(cv2.distanceTransform((labels == 0).astype(np.uint8), cv2.DIST_L2, 3) > 4)
    chosen = rng.permutation(values)[:count]
    chosen = np.concatenate([chosen, rng.choice(values, max(0, min(count - len(chosen), len(values))))])
    rows = []
    for label in chosen:
        mask = labels == label
        on = xs[owner == label], ys[owner == label]
        box = np.array([on[0].min(), on[1].min(), on[0].max() + 1, on[1].max() + 1], float)
        size = np.tile(box[2:] - box[:2], 2)
        if not plain and len(away) and rng.random() < BACKGROUND_SHARE:
            y, x = away[rng.integers(len(away))]
            points, kinds = _with_negatives(rng, np.array([x, y], float), 0, labels, centres, values, smooth, plain)
            rows.append((0, points, kinds, box - np.tile(centres[label], 2) + np.tile([x, y], 2)))
            continue
        first = _first_point(rng, mask, on, centres[label], float(np.sqrt(areas[label])), plain)
        points, kinds = _with_negatives(rng, first, int(label), labels, centres, values, smooth, plain)
        rows.append((int(label), points, kinds, np.clip(box + rng.normal(0, 0.06, 4) * size, 0, SIDE_PX)))
    return rows


def _first_point(rng: np.random.Generator, mask: Array, on: tuple[Array, Array], centre: Array, size: float, plain: bool) -> Array:
    spread = 0.04 if plain else float(rng.choice((0.05, 0.15, 0.3), p=(0.45, 0.35, 0.2)))
    for _ in range(6):
        x, y = centre + rng.normal(0, spread * size, 2)
        if 0 <= x < SIDE_PX and 0 <= y < SIDE_PX and mask[int(y), int(x)]:
            return np.array([x, y])
    i = rng.integers(len(on[0]))
    return np.array([on[0][i], on[1][i]], float)


def _with_negatives(
    rng: np.random.Generator, first: Array, label: int, labels: Array, centres: Array, values: Array, smooth: Array, plain: bool
) -> tuple[Array, Array]:
    points, kinds = np.zeros((POINTS, 2)), np.full(POINTS, -1.0)
    points[0], kinds[0] = first, 1
    kind = "darkest" if plain else str(rng.choice(NEGATIVES, p=NEGATIVE_WEIGHTS))
    if kind == "darkest":
        y, x = np.unravel_index(int(smooth.argmin()), smooth.shape)
        points[1], kinds[1] = (x, y), 0
    elif kind == "neighbour":
        others = values[values != label]
        near = others[np.argsort(((centres[others] - first) ** 2).sum(axis=1))][: rng.integers(1, POINTS)]
        points[1 : 1 + len(near)], kinds[1 : 1 + len(near)] = centres[near], 0
    elif kind == "local":
        reach = int(rng.integers(20, 48))
        x0, y0 = max(0, int(first[0]) - reach), max(0, int(first[1]) - reach)
        window = smooth[y0 : y0 + 2 * reach, x0 : x0 + 2 * reach].astype(int) + 1000 * (
            labels[y0 : y0 + 2 * reach, x0 : x0 + 2 * reach] == (label or -1)
        )
        y, x = np.unravel_index(int(window.argmin()), window.shape)
        points[1], kinds[1] = (x0 + x, y0 + y), 0
    return points, kinds
