"""Plot the curves of a training: losses on the left, figures on the validation images on the right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

NOT_CURVES = ("epoch", "step", "seconds", "learning_rate")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1e1e1e")
"""Colours of Okabe & Ito (2008), distinct for all kinds of colour vision."""

_WIDTH, _HEIGHT, _TOP, _PLOT, _SIDE = 960, 420, 50, 250, 380
_INK = "#1e1e1e"


def curves_svg(rows: Sequence[Mapping[str, float]], title: str) -> str:
    """Return an SVG of the numbers that a training wrote, one row per epoch.

    Args:
        rows: each with ``epoch``, losses (names with "loss") and figures (other names, in 0..1).
    """
    names = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in NOT_CURVES]
    losses = sorted((name for name in names if "loss" in name), key=lambda name: (name != "loss", name))
    figures = [name for name in names if "loss" not in name]
    top = max((row[name] for row in rows for name in losses if name in row and math.isfinite(row[name])), default=1.0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="60" y="24" font-size="14" font-weight="bold">{escape(title)}</text>',
        *_panel(rows, losses, 60, _ceiling(top), "loss"),
        *_panel(rows, figures, 550, 1.0, "on validation images"),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _panel(rows: Sequence[Mapping[str, float]], names: Sequence[str], left: int, top: float, what: str) -> list[str]:
    last = max(2.0, max((row["epoch"] for row in rows), default=2.0))

    def x(epoch: float) -> float:
        return left + (epoch - 1) / (last - 1) * _SIDE

    def y(value: float) -> float:
        return _TOP + (1 - min(value, top) / top) * _PLOT

    parts = []
    for step in range(6):
        at = y(top * step / 5)
        parts.append(f'<line x1="{left}" x2="{left + _SIDE}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e0e0e0"/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{top * step / 5:.3g}</text>')
    ticks = sorted({1, round((1 + last) / 2), round(last)})
    parts += [f'<text x="{x(tick):.1f}" y="{_TOP + _PLOT + 18}" text-anchor="middle">{tick}</text>' for tick in ticks]
    parts.append(f'<text x="{left + _SIDE / 2}" y="{_TOP + _PLOT + 36}" text-anchor="middle">epoch, {what}</text>')
    for n, name in enumerate(names):
        colour = COLOURS[n % len(COLOURS)]
        points = [(x(row["epoch"]), y(row[name])) for row in rows if name in row and math.isfinite(row[name])]
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{2.5 if n == 0 else 1.2}"/>')
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2" fill="{colour}"/>' for px, py in points]
        at_x, at_y = left + n % 3 * 130, _TOP + _PLOT + 62 + 18 * (n // 3)
        parts.append(f'<line x1="{at_x}" x2="{at_x + 16}" y1="{at_y - 4}" y2="{at_y - 4}" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{at_x + 22}" y="{at_y}">{escape(name.removeprefix("loss_"))}</text>')
    return parts


def _ceiling(value: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten above a value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= value)
