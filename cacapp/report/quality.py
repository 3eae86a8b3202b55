"""The quality of a slide on a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QualityRow:
    """A channel's measures in the order of ``SlideQuality.measures``, None where there is none; channel "slide" is the slide as a whole."""

    channel: str
    values: tuple[float | None, ...]
    verdict: str


@dataclass(frozen=True, slots=True)
class SlideGeometry:
    """Sentences about the geometry of a slide's frames: what cannot be, and what is known or unknown."""

    slide: str
    impossible: tuple[str, ...]
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SlideQuality:
    """A slide's quality: "pass", "warn" or "fail", what is wrong in words, and the measures behind it."""

    slide: str
    verdict: str
    problems: tuple[str, ...]
    measures: tuple[str, ...]
    rows: tuple[QualityRow, ...]
