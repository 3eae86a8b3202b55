"""Decisions of a person about a cell: pure changes of its state, whose class follows from the assay's rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cacapp.exceptions import UsageError
from cacapp.fish.assay.model import Assay
from cacapp.fish.calls import call_by_counts
from cacapp.fish.patient import SlideTally

REASONS = ("aggregate", "overlapping nuclei", "out of focus", "damaged nucleus", "debris or artefact", "probe failed")
"""Reasons why a person finds a nucleus not evaluable; other words are allowed too."""


@dataclass(frozen=True, slots=True)
class AddedSignal:
    """A signal that a person added, at ``y_px, x_px`` in the frame; ``number``: the software's uncounted dot there, else None."""

    channel: str
    y_px: float
    x_px: float
    number: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The state of a cell: as the software called it, or as a person decided.

    Attributes:
        counts: signals by probe channel, in the assay's order.
        class_, subtype, is_cac: the call; None, None, False where not evaluable.
        evaluable, exclusion_reason: whether it counts, and why not.
        needs_review: the software left the call open and no person has decided yet.
        decided: a person has looked and decided.
        added, removed: signals that a person added; the software's dots, (channel, number), that a person removed.
    """

    counts: Mapping[str, int]
    class_: str | None
    subtype: str | None
    is_cac: bool
    evaluable: bool
    exclusion_reason: str | None = None
    needs_review: bool = False
    decided: bool = False
    added: tuple[AddedSignal, ...] = ()
    removed: tuple[tuple[str, int], ...] = ()

    @property
    def flagged(self) -> bool:
        """Tell whether the software asks for a review."""
        return self.evaluable and (self.is_cac or self.needs_review)

    @property
    def label(self) -> str:
        """Return the class, or "not evaluable": two readers are compared by it."""
        return self.class_ if self.evaluable and self.class_ is not None else "not evaluable"

    def record(self) -> dict[str, Any]:
        """Return the state as the database keeps it."""
        return {
            "counts": dict(self.counts),
            "class": self.class_,
            "subtype": self.subtype,
            "is_cac": self.is_cac,
            "evaluable": self.evaluable,
            "exclusion_reason": self.exclusion_reason,
            "needs_review": self.needs_review,
            "decided": self.decided,
            "added": [[a.channel, a.y_px, a.x_px, a.number] for a in self.added],
            "removed": [list(r) for r in self.removed],
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> State:
        """Return the state that ``record()`` wrote."""
        return cls(
            counts=dict(record["counts"]),
            class_=record["class"],
            subtype=record["subtype"],
            is_cac=record["is_cac"],
            evaluable=record["evaluable"],
            exclusion_reason=record["exclusion_reason"],
            needs_review=record["needs_review"],
            decided=record["decided"],
            added=tuple(AddedSignal(*a) for a in record["added"]),
            removed=tuple((channel, number) for channel, number in record["removed"]),
        )


@dataclass(frozen=True, slots=True)
class Dot:
    """A dot that the software found in a cell; ``counted`` by the software's rules, else ``reason`` says why not."""

    channel: str
    number: int
    y_px: float
    x_px: float
    counted: bool
    snr: float = 0.0
    reason: str | None = None


def recounted(state: State, assay: Assay) -> State:
    """Return the state with the class of its counts by the assay's rules; a person has decided the counts, so no doubt is left."""
    if not state.evaluable:
        return replace(state, class_=None, subtype=None, is_cac=False, needs_review=False, decided=True)
    counts = np.array([[state.counts.get(c, 0) for c in assay.channels]])
    (call,) = call_by_counts(counts, [None], assay)
    return replace(state, class_=call.class_, subtype=call.subtype, is_cac=call.is_cac, needs_review=False, decided=True)


def accept(state: State, assay: Assay) -> State:
    """Accept the call; an uncertain cell gets the class of its counts."""
    if state.evaluable and state.class_ not in assay.class_names:
        return recounted(state, assay)
    return replace(state, needs_review=False, decided=True)


def reclassify(state: State, name: str, assay: Assay) -> State:
    """Set the class to ``name``, whatever the counts are; a cell that was not evaluable becomes evaluable.

    Raises UsageError for no class of the assay.
    """
    if name not in assay.class_names:
        raise UsageError(f"class {name!r} is none of the assay's: {', '.join(assay.class_names)}")
    by_counts = recounted(replace(state, evaluable=True, exclusion_reason=None), assay)
    if by_counts.class_ == name:
        return by_counts
    return replace(by_counts, class_=name, subtype=None, is_cac=name in assay.cac_classes)


def reject(state: State, reason: str, assay: Assay) -> State:
    """Exclude the nucleus as not evaluable. Raises UsageError without a reason."""
    if not reason.strip():
        raise UsageError("say why the nucleus is not evaluable")
    return recounted(replace(state, evaluable=False, exclusion_reason=reason.strip()), assay)


def add_signal(state: State, signal: AddedSignal, assay: Assay) -> State:
    """Add a signal in a probe's channel. Raises UsageError for a dot that counts already."""
    if signal.number is not None:
        if (signal.channel, signal.number) in state.removed:  # removed before: it counts again
            kept = tuple(r for r in state.removed if r != (signal.channel, signal.number))
            return recounted(replace(_with_count(state, signal.channel, 1), removed=kept), assay)
        if any((a.channel, a.number) == (signal.channel, signal.number) for a in state.added):
            raise UsageError(f"this {signal.channel} dot counts already")
    return recounted(replace(_with_count(state, signal.channel, 1), added=(*state.added, signal)), assay)


def remove_signal(state: State, channel: str, dot: Dot | None, added: int | None, assay: Assay) -> State:
    """Remove a signal: the software's ``dot``, or one of ``state.added`` by its place there.

    Raises:
        UsageError: the dot does not count, or there is no such signal.
    """
    if added is not None:
        if not 0 <= added < len(state.added) or state.added[added].channel != channel:
            raise UsageError(f"there is no such added {channel} signal any more")
        kept = state.added[:added] + state.added[added + 1 :]
        return recounted(replace(_with_count(state, channel, -1), added=kept), assay)
    if dot is None or not counts_now(state, dot):
        raise UsageError(f"this {channel} dot does not count, so it cannot be removed")
    by_reader = tuple(a for a in state.added if (a.channel, a.number) != (dot.channel, dot.number))
    if len(by_reader) < len(state.added):  # a dot that counts only because a person added it
        return recounted(replace(_with_count(state, channel, -1), added=by_reader), assay)
    return recounted(replace(_with_count(state, channel, -1), removed=(*state.removed, (dot.channel, dot.number))), assay)


def counts_now(state: State, dot: Dot) -> bool:
    """Tell whether one of the software's dots counts in this state."""
    if (dot.channel, dot.number) in state.removed:
        return False
    return dot.counted or any((a.channel, a.number) == (dot.channel, dot.number) for a in state.added)


def _with_count(state: State, channel: str, step: int) -> State:
    counts = dict(state.counts)
    counts[channel] = counts.get(channel, 0) + step
    if counts[channel] < 0:
        raise UsageError(f"there is no {channel} signal to remove")
    return replace(state, counts=counts)


def reviewed_tally(machine: SlideTally, changes: Sequence[tuple[State, State]], assay: Assay) -> SlideTally:
    """Return a slide's tally after review: the software's, with each reviewed cell subtracted as it was and added as it is.

    Args:
        changes: (the software's state, the state now) of each reviewed cell.
    """
    classes, exclusions = dict(machine.classes), dict(machine.exclusions)
    signals = dict(machine.signals)
    review, cacs, left_out = machine.needs_review, machine.cacs, machine.cacs_left_out
    for step, state in [pair for was, now in changes for pair in ((-1, was), (1, now))]:
        if not state.evaluable:
            reason = state.exclusion_reason or "unknown"
            exclusions[reason] = exclusions.get(reason, 0) + step
            continue
        name = state.class_ or "unknown"
        classes[name] = classes.get(name, 0) + step
        review += step * state.needs_review
        cacs += step * state.is_cac
        left_out += step * (state.is_cac and state.subtype in assay.patient.without_subtypes)
        if assay.ratio is not None:
            for channel, n in state.counts.items():
                signals[channel] = signals.get(channel, 0) + step * n
    return SlideTally(
        {name: n for name, n in classes.items() if n},
        {name: n for name, n in exclusions.items() if n},
        review,
        cacs,
        left_out,
        machine.blood_volume_ul,
        signals,
    )


def cohens_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Return the agreement of two readers beyond chance: κ = (p_o − p_e) / (1 − p_e) (Cohen 1960, doi:10.1177/001316446002000104).

    p_o is the share of cells with one label from both, p_e the share that readers with these frequencies of labels would share by
    chance. None where it is not defined: no cells, or both readers gave one and the same label throughout.

    >>> round(cohens_kappa(["cac"] * 25 + ["normal"] * 25, ["cac"] * 20 + ["normal"] * 5 + ["cac"] * 10 + ["normal"] * 15), 2)
    0.4
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} labels")
    n = len(first)
    if n == 0:
        return None
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    labels = {*first, *second}
    expected = sum((list(first).count(label) / n) * (list(second).count(label) / n) for label in labels)
    return None if expected >= 1 else (observed - expected) / (1 - expected)
