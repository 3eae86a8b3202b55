"""Counts and calls compared with a person's: confusion of copies per probe and of classes, sensitivity and specificity for CACs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.control import clopper_pearson
from cacapp.types import Array

BINS = ("0", "1", "2", "3", "4", "5+")
NOT_EVALUABLE = "not evaluable"


@dataclass(frozen=True, slots=True)
class Pair:
    """A nucleus as a person counted it, and the run's cell that it was matched to.

    Attributes:
        truth, counted: signals per probe in the assay's order.
        true_class, called_class: names of classes; ``called_class`` None for a cell that is not evaluable.
        true_cac, called_cac: whether the class is one of the assay's CAC classes.
        needs_review: the run sends the cell to a person.
    """

    truth: tuple[int, ...]
    counted: tuple[int, ...]
    true_class: str
    called_class: str | None
    true_cac: bool
    called_cac: bool
    needs_review: bool = False

    @property
    def evaluable(self) -> bool:
        return self.called_class is not None

    @property
    def off_by(self) -> int:
        """Return the number of signals too many and too few, over all probes."""
        return sum(abs(a - b) for a, b in zip(self.truth, self.counted, strict=True))


@dataclass(frozen=True, slots=True)
class Share:
    """``k`` of ``n`` with the exact 95 % interval (Clopper & Pearson); ``share`` None of none."""

    k: int
    n: int

    @property
    def share(self) -> float | None:
        return self.k / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float]:
        return clopper_pearson(self.k, self.n)

    def record(self) -> dict[str, Any]:
        low, high = self.interval
        return {"k": self.k, "n": self.n, "share": self.share, "low": low, "high": high}


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of a run with a person's counts.

    Attributes:
        counts: by probe channel a (6, 6) int matrix over ``BINS``: rows are the truth, columns the counts; evaluable cells only.
        exact: by channel, evaluable cells with exactly the true number of signals.
        classes: (true, called) -> cells, "not evaluable" among the called.
        sensitivity: CACs called so, of the true CACs that are evaluable.
        specificity: others not called CAC, of the true others that are evaluable.
        found: true CACs called so, of all in the truth, missed and not evaluable ones too.
        caught: the same, called so or sent to review.
    """

    counts: dict[str, Array]
    exact: dict[str, Share]
    classes: dict[tuple[str, str], int]
    sensitivity: Share
    specificity: Share
    found: Share
    caught: Share


def agreement(pairs: Sequence[Pair], assay: Assay, missed_cacs: int = 0) -> Agreement:
    """Compare matched nuclei.

    Args:
        missed_cacs: true CACs that no cell of the run was matched to.
    """
    seen = [p for p in pairs if p.evaluable]
    truth, counted = (np.array([getattr(p, w) for p in seen], int).reshape(len(seen), len(assay.probes)) for w in ("truth", "counted"))
    cacs, others = [p for p in pairs if p.true_cac], [p for p in pairs if not p.true_cac]
    called = sum(p.called_cac for p in cacs)
    return Agreement(
        counts={c: confusion(truth[:, i], counted[:, i]) for i, c in enumerate(assay.channels)},
        exact={c: Share(int((truth[:, i] == counted[:, i]).sum()), len(seen)) for i, c in enumerate(assay.channels)},
        classes=dict(Counter((p.true_class, p.called_class or NOT_EVALUABLE) for p in pairs)),
        sensitivity=Share(called, sum(p.evaluable for p in cacs)),
        specificity=Share(sum(p.evaluable and not p.called_cac for p in others), sum(p.evaluable for p in others)),
        found=Share(called, len(cacs) + missed_cacs),
        caught=Share(sum(p.called_cac or p.needs_review for p in cacs), len(cacs) + missed_cacs),
    )


def confusion(truth: Array, counted: Array) -> Array:
    """Return (6, 6) int: nuclei by true (rows) and counted (columns) signals, 0 to 4 and 5 or more.

    >>> confusion(np.array([2, 2, 9]), np.array([2, 3, 5]))[2].tolist()
    [0, 0, 1, 1, 0, 0]
    """
    top = len(BINS) - 1
    table = np.zeros((len(BINS), len(BINS)), int)
    np.add.at(table, (np.minimum(truth, top), np.minimum(counted, top)), 1)
    return table


def worst(pairs: Sequence[Pair], limit: int) -> list[int]:
    """Return at most ``limit`` indices of the evaluable cells that differ most: false or missed CACs first, then by signals off."""
    wrong = [i for i, p in enumerate(pairs) if p.evaluable and (p.off_by or p.true_cac != p.called_cac)]
    return sorted(wrong, key=lambda i: (pairs[i].true_cac == pairs[i].called_cac, -pairs[i].off_by, i))[:limit]
