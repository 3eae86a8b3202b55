"""Agreement of predicted with true nuclei: one-to-one matching by IoU, and the usual figures.

Definitions are those of the Data Science Bowl 2018 (Caicedo et al. 2019) and StarDist (Schmidt et al. 2018); Dice = 2|P∩G|/(|P|+|G|),
IoU = |P∩G|/|P∪G|.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cacapp.exceptions import CacappError
from cacapp.types import Array, Instance, label_image

THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)

DENSE_CELLS = 16_000_000
"""Up to this many (true, predicted) pairs one table holds all overlaps: 4000 nuclei against 4000, 128 MB a table."""

_LOOKUP_MAX = 1 << 24  # labels up to here are numbered with a table instead of a sort


@dataclass(frozen=True, slots=True)
class Match:
    """One image's nuclei, paired one to one so that the sum of the pairs' IoU is largest.

    Attributes:
        true_ids: (N,) labels of the true nuclei, ascending.
        predicted_ids: (M,) labels of the predicted ones, ascending.
        pairs: (K, 2) int, indices into true_ids and predicted_ids; K <= min(N, M), pairs without overlap may be among them.
        iou, dice: (K,) float64 of the pairs.
        pixels_true, pixels_predicted, pixels_both: foreground pixels.
    """

    true_ids: Array
    predicted_ids: Array
    pairs: Array
    iou: Array
    dice: Array
    pixels_true: int
    pixels_predicted: int
    pixels_both: int

    @property
    def n_true(self) -> int:
        return len(self.true_ids)

    @property
    def n_predicted(self) -> int:
        return len(self.predicted_ids)

    def true_positives(self, threshold: float) -> int:
        """Return the number of pairs with IoU >= threshold."""
        return int(np.count_nonzero(self.iou >= threshold))

    def average_precision(self, threshold: float) -> float:
        """Return TP / (TP + FP + FN) at this IoU; 0 where there is neither a true nor a predicted nucleus."""
        hits = self.true_positives(threshold)
        return hits / max(1, self.n_true + self.n_predicted - hits)

    def object_dice(self) -> float:
        """Return the mean over true nuclei of the Dice of their partner; a missed nucleus counts 0."""
        return float(self.dice.sum()) / max(1, self.n_true)

    def found(self, threshold: float = 0.5) -> tuple[Array, Array]:
        """Return (N,) and (M,) bool: the true and the predicted nuclei with a pair that reaches the threshold."""
        good = self.pairs[self.iou >= threshold]
        true, predicted = np.zeros(self.n_true, bool), np.zeros(self.n_predicted, bool)
        true[good[:, 0]] = predicted[good[:, 1]] = True
        return true, predicted


def match(truth: Array, predicted: Array | Sequence[Instance], dense_cells: int = DENSE_CELLS) -> Match:
    """Pair true with predicted nuclei.

    Args:
        truth: (Y, X) integer labels, 0 is background; parts of one label are one nucleus, wherever they lie.
        predicted: labels of the same shape, or Instances. Instances may overlap; they are painted into a label image first, the smaller
            one on top, as ``cacapp export`` does, so that a pixel belongs to one nucleus at most.
        dense_cells: with more (true, predicted) pairs than this, groups of nuclei that overlap are paired group by group.

    Raises:
        CacappError: the shapes differ.
    """
    labels = predicted if isinstance(predicted, np.ndarray) else label_image(predicted, truth.shape[0], truth.shape[1])
    if labels.shape != truth.shape:
        raise CacappError(f"labels of {_size(truth)} px against a prediction of {_size(labels)} px")
    true_ids, t = _numbered(truth)
    predicted_ids, p = _numbered(labels)
    n, m = len(true_ids), len(predicted_ids)
    rows, columns, both = _overlaps(t, p, n, m)
    area_true, area_predicted = np.bincount(t, minlength=n + 1), np.bincount(p, minlength=m + 1)
    total = (area_true[rows] + area_predicted[columns]).astype(float)
    nuclei = (rows > 0) & (columns > 0)
    shared = both[nuclei].astype(float)
    iou = shared / (total[nuclei] - shared)
    pairs = _assigned(rows[nuclei] - 1, columns[nuclei] - 1, iou, n, m, dense_cells)
    values = np.zeros(len(pairs))
    sizes = (area_true[pairs[:, 0] + 1] + area_predicted[pairs[:, 1] + 1]).astype(float)
    keys = (rows[nuclei] - 1) * max(m, 1) + columns[nuclei] - 1
    wanted = pairs[:, 0] * max(m, 1) + pairs[:, 1]
    at = np.searchsorted(keys, wanted)
    hit = at < len(keys)
    hit[hit] = keys[at[hit]] == wanted[hit]
    values[hit] = shared[at[hit]]
    return Match(
        true_ids,
        predicted_ids,
        pairs,
        values / (sizes - values),
        2 * values / sizes,
        int(area_true[1:].sum()),
        int(area_predicted[1:].sum()),
        int(shared.sum()),
    )


def scores(matches: Sequence[Match]) -> dict[str, float]:
    """Return the figures over all images: AP@t, F1@0.5, object_dice, pixel_dice, pixel_iou, each in [0, 1], and the numbers behind them.

    AP@t is the mean over images of TP / (TP + FP + FN); an image with neither true nor predicted nuclei counts 0, as in the Data Science
    Bowl's sum. F1, object and pixel figures are taken over the nuclei and pixels of all images together.
    """
    n_true, n_predicted = sum(m.n_true for m in matches), sum(m.n_predicted for m in matches)
    both = sum(m.pixels_both for m in matches)
    foreground = sum(m.pixels_true + m.pixels_predicted for m in matches)
    result = {f"AP@{t}": float(np.mean([m.average_precision(t) for m in matches])) if matches else 0.0 for t in THRESHOLDS}
    result["F1@0.5"] = 2 * sum(m.true_positives(0.5) for m in matches) / max(1, n_true + n_predicted)
    result["object_dice"] = sum(float(m.dice.sum()) for m in matches) / max(1, n_true)
    result["pixel_dice"] = 2 * both / max(1, foreground)
    result["pixel_iou"] = both / max(1, foreground - both)
    return result | {"images": len(matches), "nuclei_true": n_true, "nuclei_pred": n_predicted}


def _numbered(labels: Array) -> tuple[Array, Array]:
    """Return the labels other than 0, ascending, and each pixel's number among them from 1 on (0 background), flat."""
    flat = labels.ravel()
    if flat.size == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if int(flat.min()) >= 0 and int(flat.max()) < _LOOKUP_MAX:
        present = np.bincount(flat.astype(np.int64, copy=False)) > 0
        present[0] = False
        table = np.cumsum(present) * present
        return np.flatnonzero(present), table[flat]
    ids, codes = np.unique(flat, return_inverse=True)
    background = ids == 0
    table = np.cumsum(~background) * ~background
    return ids[~background].astype(np.int64), table[codes]


def _overlaps(t: Array, p: Array, n: int, m: int) -> tuple[Array, Array, Array]:
    """Return (true number, predicted number, pixels) of every combination that occurs, with background, in ascending order."""
    key = t * (m + 1) + p
    if (n + 1) * (m + 1) <= DENSE_CELLS:
        counts = np.bincount(key, minlength=(n + 1) * (m + 1))
        keys = np.flatnonzero(counts)
        counts = counts[keys]
    else:
        keys, counts = np.unique(key, return_counts=True)
    rows, columns = np.divmod(keys, m + 1)
    return rows, columns, counts


def _assigned(rows: Array, columns: Array, iou: Array, n: int, m: int, dense_cells: int) -> Array:
    """Return (K, 2) pairs with the largest sum of IoU, ordered by true nucleus."""
    if n == 0 or m == 0:
        return np.zeros((0, 2), np.int64)
    if n * m <= dense_cells:
        table = np.zeros((n, m))
        table[rows, columns] = iou
        return np.stack(linear_sum_assignment(-table), axis=1)
    graph = coo_array((np.ones(len(rows)), (rows, columns + n)), shape=(n + m, n + m))
    _, group = connected_components(graph, directed=False)
    order = np.argsort(group[rows], kind="stable")
    found = []
    for own in np.split(order, np.flatnonzero(np.diff(group[rows][order])) + 1):
        true, r = np.unique(rows[own], return_inverse=True)
        predicted, c = np.unique(columns[own], return_inverse=True)
        table = np.zeros((len(true), len(predicted)))
        table[r, c] = iou[own]
        one, two = linear_sum_assignment(-table)
        found.append(np.stack([true[one], predicted[two]], axis=1))
    pairs = np.concatenate(found) if found else np.zeros((0, 2), np.int64)
    return pairs[np.argsort(pairs[:, 0], kind="stable")]


def _size(image: Array) -> str:
    return " x ".join(str(side) for side in image.shape[::-1])
