"""A cell as one viewer sees it: the shape that gallery, cell page, frame map and API have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cacapp.db.cells.places import Place
from cacapp.fish.review import Dot, State, counts_now
from cacapp.review.crops import Window


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell of a count run.

    Attributes:
        place: position, bounding box and mask in the frame, px.
        machine: the software's call.
        state: the call after the reviews that the viewer may see; the software's where there are none.
        margin: change of signals that turns a CAC into no CAC or the reverse, SNR; None if no near change does.
        p_cac: probability that the cell is a CAC, None where it is not known; ``p_terms``: what leaves it between 0 and 1, in words.
        decided_by: the account that made the valid decision, None without one.
    """

    place: Place
    machine: State
    state: State
    margin: float | None
    p_cac: float | None
    p_terms: str | None
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
    return state if tuple(state.counts) == tuple(channels) else replace(state, counts={c: state.counts.get(c, 0) for c in channels})


def shown_signals(dots: Sequence[Dot], state: State, window: Window | None = None) -> list[ShownSignal]:
    """Return the software's dots, then the signals that were added where the software found none.

    Args:
        window: left, top, width and height of a picture in the frame. Positions are then in px of the picture, (0, 0) the
            corner of its first pixel as in SVG, rounded to 0.1 px; without a window in px of the frame.
    """

    def place(y_px: float, x_px: float) -> tuple[float, float]:
        return (y_px, x_px) if window is None else (round(y_px - window[1] + 0.5, 1), round(x_px - window[0] + 0.5, 1))

    signals = [ShownSignal(d.channel, "auto", d.number, *place(d.y_px, d.x_px), d.snr, counts_now(state, d), d.reason) for d in dots]
    for number, a in enumerate(state.added):
        if a.number is None:
            signals.append(ShownSignal(a.channel, "added", number, *place(a.y_px, a.x_px), None, True, None))
    return signals
