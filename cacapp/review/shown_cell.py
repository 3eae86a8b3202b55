"""A cell as one viewer sees it: the shape that gallery, cell page, frame map and API have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cacapp.db.cells.states import Place
from cacapp.fish.review import Dot, State, counts_now


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell of a count run.

    Attributes:
        place: position, bounding box and mask in the frame, px.
        machine: the software's call.
        state: the call after the reviews that the viewer may see; the software's where there are none.
        margin: distance of the call to the next class, SNR; None where no small change of the image flips it.
        decided_by: the account that made the valid decision, None without one.
    """

    place: Place
    machine: State
    state: State
    margin: float | None
    decided_by: str | None

    @property
    def pattern(self) -> str:
        return pattern(self.state)

    @property
    def machine_pattern(self) -> str:
        return pattern(self.machine)


@dataclass(frozen=True, slots=True)
class ShownSignal:
    """A dot of the software, or a signal that a person added.

    Attributes:
        source: "auto" or "added".
        number: the dot's number in its channel, or the position among the cell's added signals.
        y_px, x_px: position, px of the frame or of a picture.
        counts: whether it counts after review.
        reason: why the software did not count it; None otherwise.
    """

    channel: str
    source: str
    number: int
    y_px: float
    x_px: float
    snr: float | None
    counts: bool
    reason: str | None


def pattern(state: State) -> str:
    """Return the signal counts in the assay's order of channels, as in "2-2-3-1"."""
    return "-".join(str(n) for n in state.counts.values())


def in_channel_order(state: State, channels: Sequence[str]) -> State:
    """Return the state with one count per channel, in this order; 0 where nothing is stored."""
    return replace(state, counts={c: state.counts.get(c, 0) for c in channels})


def shown_signals(dots: Sequence[Dot], state: State) -> list[ShownSignal]:
    """Return the software's dots, then the signals that were added where the software found none; positions in px of the frame."""
    signals = [ShownSignal(d.channel, "auto", d.number, d.y_px, d.x_px, d.snr, counts_now(state, d), d.reason) for d in dots]
    signals += [ShownSignal(a.channel, "added", i, a.y_px, a.x_px, None, True, None) for i, a in enumerate(state.added) if a.number is None]
    return signals
