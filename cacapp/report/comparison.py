"""Compare methods: a table in Markdown and CSV, and a plot of accuracy over time (SVG)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

from cacapp.report import palette
from cacapp.report.csv_export import to_csv

COLUMNS = ("method", "AP@0.5", "AP@0.75", "object Dice %", "pixel Dice %", "s/frame", "device", "paper: Dice %", "paper: s/frame")
PAPER = (
    "The paper's figures are those of its Table 1, measured on its own slides (frames of 4128 x 3600 px) and its own machine; "
    "yours on your images and yours."
)
SVG_NAME = "benchmark.svg"


@dataclass(frozen=True, slots=True)
class Line:
    """A method: figures measured here and in the paper; None where there are none.

    Attributes:
        key: name of the row on the command line.
        ap50, ap75, object_dice, pixel_dice: shares in [0, 1].
        seconds: per image, s.
        paper_dice: share in [0, 1].
        paper_seconds: per frame, s.
        note: why it was not measured, or what to know of it; may be empty.
    """

    key: str
    method: str
    ap50: float | None = None
    ap75: float | None = None
    object_dice: float | None = None
    pixel_dice: float | None = None
    seconds: float | None = None
    device: str | None = None
    paper_dice: float | None = None
    paper_seconds: float | None = None
    note: str = ""

    @property
    def measured(self) -> bool:
        return self.ap50 is not None

    def cells(self) -> list[str | None]:
        """Return the texts of the columns, None where there is none."""

        def text(value: float | None, form: str, factor: float = 1.0) -> str | None:
            return None if value is None else format(value * factor, form)

        return [
            self.method,
            text(self.ap50, ".3f"),
            text(self.ap75, ".3f"),
            text(self.object_dice, ".2f", 100),
            text(self.pixel_dice, ".2f", 100),
            text(self.seconds, ".3g"),
            self.device,
            text(self.paper_dice, ".2f", 100),
            text(self.paper_seconds, ".2f"),
        ]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Methods measured on the same images.

    Attributes:
        lines: one a method.
        about: the images and the machine, in a sentence.
        failed: whether some images could not be measured.
        negatives: kinds of negative point and the key of the line that measures each, the default first.
    """

    lines: tuple[Line, ...]
    about: str
    failed: bool = False
    negatives: Mapping[str, str] = field(default_factory=dict)

    def notes(self) -> list[tuple[str, str]]:
        """Return (methods, note); methods with the same note are joined."""
        together: dict[str, list[str]] = {}
        for line in self.lines:
            if line.note:
                together.setdefault(line.note, []).append(line.method)
        return [("; ".join(methods), note) for note, methods in together.items()]

    def negative_prompts(self) -> str:
        """Return which negative point is best by AP@0.5 and which is the default; empty where fewer than two are measured."""
        found = {line.key: line for line in self.lines if line.ap50 is not None}
        measured = {kind: found[key].ap50 or 0.0 for kind, key in self.negatives.items() if key in found}
        if len(measured) < 2:
            return ""
        default = next(iter(self.negatives))
        ranked = sorted(measured, key=lambda kind: (-measured[kind], kind != default))
        figures = ", ".join(f"{kind} {measured[kind]:.4f}" for kind in ranked)
        best = f"Best is {ranked[0]}" + (", the default." if ranked[0] == default else f"; the default is {default}.")
        left = [f"{kind} (--row {key})" for kind, key in self.negatives.items() if kind not in measured]
        return f"AP@0.5 by negative point: {figures}. {best}" + (f" Not measured: {', '.join(left)}." if left else "")

    def record(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return {"about": self.about, "rows": [asdict(line) for line in self.lines], "negative_prompts": self.negative_prompts()}


def markdown(comparison: Comparison) -> str:
    """Return the table in Markdown, with the rows that were not measured and why."""
    lines = ["# Benchmark", "", comparison.about, "", f"![speed against accuracy]({SVG_NAME})", ""]
    lines += [_row(COLUMNS), _row(["---"] + ["---:"] * 5 + ["---"] + ["---:"] * 2)]
    lines += [_row([cell or "–" for cell in line.cells()]) for line in comparison.lines]
    if negative := comparison.negative_prompts():
        lines += ["", "## Negative prompts", negative]
    notes = [f"- {_plain(methods)}: {_plain(note)}" for methods, note in comparison.notes()]
    if notes:
        lines += ["", "## Notes", *notes]
    return "\n".join([*lines, "", PAPER, ""])


def csv_text(comparison: Comparison) -> str:
    """Return CSV text: one row per method, figures in [0, 1]."""
    return to_csv(list(Line.__dataclass_fields__), map(asdict, comparison.lines))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |"


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


_WIDTH, _LEFT, _RIGHT, _TOP, _PLOT = 900, 60, 470, 40, 380
_OURS, _THEIRS, _INK = "#0072b2", palette.css((213, 94, 0)), "#1e1e1e"


def svg(comparison: Comparison) -> str:
    """Object Dice (the paper: its Dice) over seconds a frame, logarithmic; filled dots are measured here, open ones the paper's.

    Dots carry numbers, which a list beside the drawing explains, so that names never overlap.
    """
    here = [(n, line.seconds, line.object_dice) for n, line in enumerate(comparison.lines, 1)]
    paper = [(n, line.paper_seconds, line.paper_dice) for n, line in enumerate(comparison.lines, 1)]
    ours = [(n, s, d) for n, s, d in here if s is not None and d is not None]
    theirs = [(n, s, d) for n, s, d in paper if s is not None and d is not None]
    seconds = [max(s, 1e-4) for _, s, _ in ours + theirs] or [1.0]
    low, high = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)) + 1e-9)
    high = max(high, low + 1)
    height = max(_TOP + _PLOT + 60, _TOP + 20 * len(comparison.lines) + 60)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14" font-weight="bold">Speed against accuracy</text>',
    ]

    def x(value: float) -> float:
        return _LEFT + (math.log10(max(value, 1e-4)) - low) / (high - low) * (_RIGHT - _LEFT)

    def y(value: float) -> float:
        return _TOP + (1 - value) * _PLOT

    for step in range(6):
        at = y(step / 5)
        parts.append(f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e0e0e0"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{20 * step}</text>')
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_TOP + _PLOT}" stroke="#e0e0e0"/>')
        parts.append(f'<text x="{at:.1f}" y="{_TOP + _PLOT + 18}" text-anchor="middle">{10.0**power:g}</text>')
    middle = (_LEFT + _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_TOP + _PLOT + 38}" text-anchor="middle">seconds a frame (logarithmic)</text>')
    parts.append(f'<text transform="translate(16 {_TOP + _PLOT / 2}) rotate(-90)" text-anchor="middle">Dice, % (here: object Dice)</text>')
    for points, colour, filled in ((theirs, _THEIRS, False), (ours, _OURS, True)):
        for number, second, dice in points:
            fill, ink = (colour, "#ffffff") if filled else ("#ffffff", colour)
            parts.append(f'<circle cx="{x(second):.1f}" cy="{y(dice):.1f}" r="9" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>')
            parts.append(
                f'<text x="{x(second):.1f}" y="{y(dice) + 3.5:.1f}" text-anchor="middle" font-size="10" fill="{ink}">{number}</text>'
            )
    parts += _legend(comparison.lines)
    return "\n".join([*parts, "</svg>", ""])


def _legend(lines: Sequence[Line]) -> list[str]:
    left = _RIGHT + 30
    parts = [
        f'<circle cx="{left + 6}" cy="{_TOP - 4}" r="6" fill="{_OURS}"/><text x="{left + 18}" y="{_TOP}">measured here</text>',
        f'<circle cx="{left + 126}" cy="{_TOP - 4}" r="6" fill="#ffffff" stroke="{_THEIRS}" stroke-width="1.5"/>'
        f'<text x="{left + 138}" y="{_TOP}">the paper, its own slides and machine</text>',
    ]
    for number, line in enumerate(lines, 1):
        at = _TOP + 8 + 20 * number
        faint = "" if line.measured else ' fill="#767676"'
        text = escape(line.method if line.measured else f"{line.method} (not run)")
        parts.append(
            f'<text x="{left + 14}" y="{at}" text-anchor="end"{faint}>{number}</text><text x="{left + 22}" y="{at}"{faint}>{text}</text>'
        )
    return parts
