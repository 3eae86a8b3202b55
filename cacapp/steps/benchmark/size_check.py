"""Warning for images without a pixel size whose nuclei have another size than an algorithm assumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cacapp.arrays.shapes import typical_diameter
from cacapp.report.wording import plural
from cacapp.runs.choice import Choice
from cacapp.types import Array

FACTOR = 1.5
"""Typical diameters that differ by more than this factor are far apart."""


def nucleus_px(labels: Array) -> float:
    """Return the typical diameter of the nuclei of a (Y, X) label image, px; 0 where there are none."""
    return typical_diameter(np.unique(labels[labels > 0], return_counts=True)[1])


def size_warning(sizes_px: Sequence[tuple[float, float]], choices: Sequence[Choice]) -> str | None:
    """Compare found with labelled nuclei; return a line where they differ by more than ``FACTOR``.

    Args:
        sizes_px: typical diameter of the labelled and of the found nuclei, px, of each image without a pixel size.
        choices: algorithms that found them; the line lists the diameters they assume.
    """
    sizes = [(labelled, found) for labelled, found in sizes_px if labelled]
    if not sizes:
        return None
    labelled, found = (float(np.median(column)) for column in zip(*sizes, strict=True))
    if labelled / FACTOR <= found <= labelled * FACTOR:
        return None
    seen = f"one {found:.0f} px across" if found else "no nucleus"
    finder = next(choice.name for choice in choices if choice.kind == "segmenter")
    assumed = "".join(f"; assumed: {line}" for line in _assumed(choices))
    return (
        f"{plural(len(sizes), 'image')} without pixel size: the typical labelled nucleus is {labelled:.0f} px across, "
        f"{finder} finds {seen}{assumed}; set the sizes with --set, or save the images with their pixel size"
    )


def _assumed(choices: Sequence[Choice]) -> Iterator[str]:
    """Yield the diameters, px, that algorithms assume where the pixel size is unknown."""
    for choice in choices:
        pixel_um = next((value for name, value in choice.params.items() if name.endswith("pixel_um")), None)
        for name, value in choice.params.items():
            if name == "diameter_px" and value:
                yield f"{choice.name} {name} {value:g}"
            elif pixel_um and name.endswith("diameter_um"):
                yield f"{choice.name} {name} {value:g}, {value / pixel_um:.0f} px of {pixel_um:g} µm"
