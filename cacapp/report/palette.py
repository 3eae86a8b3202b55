"""Colours of channels and classes, shared by pictures and pages."""

from __future__ import annotations

Rgb = tuple[int, int, int]

DYES: dict[str, Rgb] = {
    "DAPI": (64, 96, 255),
    "aqua": (0, 214, 255),
    "green": (48, 255, 64),
    "gold": (255, 196, 0),
    "red": (255, 48, 56),
}
"""Pseudo-colour of a channel at full brightness, after the dye's own hue."""

UNKNOWN_DYE: Rgb = (255, 255, 255)

CLASSES: dict[str, Rgb] = {
    "normal": (86, 180, 233),
    "cac": (255, 112, 44),
    "gain": (240, 228, 66),
    "loss": (221, 138, 186),
}
"""Outline colour of a class on a dark ground; hues after Okabe & Ito (2008), distinct for all kinds of colour vision."""

NOT_EVALUABLE: Rgb = (128, 128, 128)
OTHER_CLASS: Rgb = (0, 190, 140)


def dye(channel: str) -> Rgb:
    """Return the pseudo-colour of a channel; white where it has none."""
    return DYES.get(channel, UNKNOWN_DYE)


def of_class(name: str | None) -> Rgb:
    """Return the outline colour of a class; None stands for a cell that is not evaluable."""
    return NOT_EVALUABLE if name is None else CLASSES.get(name, OTHER_CLASS)


def css(colour: Rgb) -> str:
    """Return the colour as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
