"""Flagged cells and frames on a page, with their pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MAX_CELL_PICTURES = 60
"""Flagged cells that get pictures (about 35 kB each)."""

MAX_FRAME_PICTURES = 12
"""Frames that get an overview (about 150 kB each)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded image.

    Attributes:
        media_type: "image/png", "image/jpeg" or "image/webp".
        data: the file's bytes.
        width_px, height_px: its size.
    """

    media_type: str
    data: bytes = field(repr=False)
    width_px: int
    height_px: int

    @property
    def data_uri(self) -> str:
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class FlaggedCell:
    """A CAC candidate, or a cell that a person must review.

    Attributes:
        cell_id: its database id; (slide, frame, label) say where it lies.
        y_px, x_px: its centre in the frame.
        class_name, subtype: the call; None where there is none.
        counts: signals by probe channel.
        margin: SNR by which the dots would have to change to turn a CAC into no CAC or back; None where no small change does.
        p_cac: probability that the cell is a CAC, None where it is not known; ``p_terms``: what leaves it between 0 and 1, in words.
        pictures: "composite" and the channels, in the order they are shown; empty where the cell is listed only.
        reviewed: who decided on it and what it was before, in words; None where nobody has.
    """

    cell_id: int
    slide: str
    frame: str
    label: int
    y_px: float
    x_px: float
    class_name: str | None
    subtype: str | None
    is_cac: bool
    counts: Mapping[str, int]
    needs_review: bool
    review_reason: str | None = None
    margin: float | None = None
    p_cac: float | None = None
    p_terms: str | None = None
    area_um2: float | None = None
    pictures: Mapping[str, Picture] = field(default_factory=dict, repr=False)
    reviewed: str | None = None

    @property
    def pattern(self) -> str:
        return "-".join(str(n) for n in self.counts.values())


@dataclass(frozen=True, slots=True)
class FrameOverview:
    """A frame with its outlines; ``picture`` is None where it is listed only."""

    slide: str
    frame: str
    cells: int
    evaluable: int
    cacs: int
    picture: Picture | None = field(default=None, repr=False)


def by_urgency(cells: Sequence[FlaggedCell]) -> list[FlaggedCell]:
    """Sort flagged cells for the page: CAC candidates first, least certain (smallest margin) first within each group.

    The first ``MAX_CELL_PICTURES`` of them are the ones to draw.
    """

    def key(cell: FlaggedCell) -> tuple[bool, float, str, str, int]:
        return (not cell.is_cac, float("inf") if cell.margin is None else cell.margin, cell.slide, cell.frame, cell.label)

    return sorted(cells, key=key)
