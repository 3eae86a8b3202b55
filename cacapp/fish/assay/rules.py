"""Classes of copy-number patterns as declarative rules: evaluated in order, the first that matches wins."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cacapp.types import Array

OTHER = "other"
MAX_PATTERNS = 1_000_000

Name = Annotated[str, Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.int64]


class Strict(BaseModel):
    """Base of the assay's tables: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Condition(Strict):
    """``min_probes`` to ``max_probes`` of the probes (of those in ``probes``, if given) have ``at_least`` to ``at_most`` signals."""

    at_least: int | None = Field(None, ge=0, description="fewest signals, None for no lower limit")
    at_most: int | None = Field(None, ge=0, description="most signals, None for no upper limit")
    min_probes: int | None = Field(None, ge=0, description="fewest probes within the limits")
    max_probes: int | None = Field(None, ge=0, description="most probes within the limits")
    probes: tuple[str, ...] | None = Field(None, min_length=1, description="channels to look at, all by default")

    def holds(self, counts: Array, channels: Sequence[str]) -> BoolArray:
        """Return (N,) bool for counts (N, P) int whose columns are ``channels``."""
        columns = counts if self.probes is None else counts[:, [channels.index(p) for p in self.probes]]
        within = np.ones(columns.shape, bool)
        if self.at_least is not None:
            within &= columns >= self.at_least
        if self.at_most is not None:
            within &= columns <= self.at_most
        n = within.sum(axis=1)
        result: BoolArray = n >= (self.min_probes or 0)
        return result if self.max_probes is None else result & (n <= self.max_probes)

    def problem(self, channels: Sequence[str]) -> tuple[str, str] | None:
        """Return (key, what is wrong with it) for an assay of these channels, None for a consistent condition."""
        if self.at_least is None and self.at_most is None:
            return "at_least", "give at_least or at_most, or the condition says nothing"
        if self.min_probes is None and self.max_probes is None:
            return "min_probes", "give min_probes or max_probes, or the condition says nothing"
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            return "at_least", f"{self.at_least} is above at_most = {self.at_most}"
        if self.min_probes is not None and self.max_probes is not None and self.min_probes > self.max_probes:
            return "min_probes", f"{self.min_probes} is above max_probes = {self.max_probes}"
        for channel in self.probes or ():
            if channel not in channels:
                return "probes", f"no probe of this assay has channel {channel!r}; it has {', '.join(channels)}"
        looked_at = len(channels) if self.probes is None else len(self.probes)
        if self.probes is not None and len(set(self.probes)) < looked_at:
            return "probes", "a channel is listed twice"
        for key, value in (("min_probes", self.min_probes), ("max_probes", self.max_probes)):
            if value is not None and value > looked_at:
                return key, f"{value} is more than the {looked_at} probes there are"
        return None


class CellClass(Strict):
    """A class of cells: all conditions in ``when`` hold and no earlier class matched."""

    name: Name
    description: str = ""
    when: tuple[Condition, ...] = Field(min_length=1)

    def matches(self, counts: Array, channels: Sequence[str]) -> BoolArray:
        """Return (N,) bool for counts (N, P) int, whatever the other classes say."""
        result = np.ones(len(counts), bool)
        for condition in self.when:
            result &= condition.holds(counts, channels)
        return result


class Subtype(Strict):
    """A tag on cells of ``classes`` whose probes all have one and the same count, at least ``equal_counts_at_least``."""

    name: Name
    classes: tuple[str, ...] = Field(min_length=1)
    equal_counts_at_least: int = Field(ge=1)

    def matches(self, counts: Array) -> BoolArray:
        """Return (N,) bool for counts (N, P) int, whatever the class."""
        result: BoolArray = (counts == counts[:, :1]).all(axis=1) & (counts[:, 0] >= self.equal_counts_at_least)
        return result


def classify(counts: Array, classes: Sequence[CellClass], channels: Sequence[str]) -> IndexArray:
    """Return the index of the first class that matches each pattern, (N,) int; ``len(classes)`` where none does.

    Args:
        counts: (N, P) int, columns in the order of ``channels``.
    """
    index = np.full(len(counts), len(classes), np.int64)
    for i in reversed(range(len(classes))):
        index[classes[i].matches(counts, channels)] = i
    return index


def all_patterns(classes: Sequence[CellClass], n_probes: int) -> Array | None:
    """Return every distinguishable pattern of counts, (K, n_probes) int; None where there are more than ``MAX_PATTERNS``.

    Counts beyond the largest limit of any condition cannot be told apart, so the list is finite and exhaustive.
    """
    limits = [limit for c in classes for w in c.when for limit in (w.at_least, w.at_most) if limit is not None]
    values = max(limits, default=0) + 2
    if values**n_probes > MAX_PATTERNS:
        return None
    return np.indices((values,) * n_probes).reshape(n_probes, -1).T


def unreachable(classes: Sequence[CellClass], channels: Sequence[str]) -> tuple[int, str] | None:
    """Return the first class that no pattern of counts can reach, with the reason; None without one or with too many patterns."""
    patterns = all_patterns(classes, len(channels))
    if patterns is None:
        return None
    taken = np.zeros(len(patterns), bool)
    for i, cell_class in enumerate(classes):
        own = cell_class.matches(patterns, channels)
        if not own.any():
            return i, f"class {cell_class.name!r} can never match: its conditions contradict each other"
        if not (own & ~taken).any():
            earlier = [c.name for c in classes[:i] if (own & c.matches(patterns, channels)).any()]
            return i, f"class {cell_class.name!r} can never match: {', '.join(earlier)} before it always does"
        taken |= own
    return None


def duplicate(names: Sequence[Any]) -> Any | None:
    """Return a value that occurs twice, None without one."""
    ordered = sorted(names)
    return next((a for a, b in pairwise(ordered) if a == b), None)
