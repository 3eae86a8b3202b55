"""Typical diameter of the nuclei of a DAPI plane, before anything is segmented."""

from __future__ import annotations

import cv2
import numpy as np

from cacapp.arrays.background import levels
from cacapp.arrays.regions import inscribed_diameter
from cacapp.types import Array

NOISE_FACTOR, FLOOR = 4.0, 0.25
"""Level of an outline above the background: noise standard deviations, or this share of the way to Otsu's threshold if that is more."""

SMOOTHING_PX = 2.0
SMALLEST_PX = 72.0
"""A nucleus shows structure inside from this diameter on: twice the working scale of the prompters, where structure is averaged away."""

LEAST_SOLIDITY, LARGEST_ELONGATION = 0.975, 2.0
"""Outline of one nucleus. Measured: 0.99 of nuclei 165 to 240 px wide; 0.89 to 0.964 of simulated colonies, whose rim has bays."""

LARGEST_CUT = 0.4
"""Share of an outline that may lie on the frame's edge; a sheet of cells that fills a side of the frame is straight there too."""

LEAST_SHARE = 0.5
"""Share of the stained area that such outlines enclose."""

LEAST_RATIO = 2.0
"""Outlines over inscribed circles. At most 1.2 on frames of interphase FISH; 8 and 32 where structure is resolved."""

NUCLEI_UM = (4.0, 25.0)
"""Width of nuclei of people on a slide, from the smallest lymphocyte to a large tumour cell or a spread nucleus."""


def impossible_width(area_px: Array, pixel_size_um: float | None) -> str | None:
    """Return a sentence where nuclei of these areas, (N,) px, would be wider or narrower than any at this pixel size; else None."""
    if not len(area_px) or not pixel_size_um:
        return None
    wide_um = 2 * float(np.sqrt(np.median(area_px) / np.pi)) * pixel_size_um
    if NUCLEI_UM[0] <= wide_um <= NUCLEI_UM[1]:
        return None
    return (
        f"nuclei would be {wide_um:.3g} µm wide at the pixel size of {pixel_size_um:g} µm; nuclei of people are "
        f"{NUCLEI_UM[0]:g} to {NUCLEI_UM[1]:g} µm: if the size is wrong, ingest the frame again with --pixel-size-um"
    )


def nuclear_diameter(plane: Array) -> float:
    """Return the typical diameter of the nuclei, px; 0 if there are none.

    It is the area-weighted median of the circles inscribed in what is brighter than Otsu's threshold. Where a nucleus is so wide that
    its nucleoli and chromatin are resolved, those circles measure its structure: if most of the stained area lies in smooth convex
    outlines at least twice as wide, the outlines are taken.

    Args:
        plane: (Y, X) float32.
    """
    inscribed = inscribed_diameter(plane > levels(plane).threshold)
    outlined = _outlined_diameter(plane) if inscribed else 0.0
    return outlined if outlined >= LEAST_RATIO * inscribed else inscribed


def _outlined_diameter(plane: Array) -> float:
    """Return the area-weighted median width of the convex outlines, px; 0 where they enclose less than half of the stained area."""
    smooth = cv2.GaussianBlur(plane, (0, 0), SMOOTHING_PX)
    grey = levels(smooth)
    level = grey.background + max(NOISE_FACTOR * grey.noise, FLOOR * (grey.threshold - grey.background))
    mask = (smooth > level).astype(np.uint8)
    height, width = mask.shape
    total, areas, widths = 0.0, [], []
    for outline in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        area = cv2.contourArea(outline)
        total += area
        x, y = outline[:, 0].T
        cut = float(np.mean((x == 0) | (y == 0) | (x == width - 1) | (y == height - 1)))
        hull = cv2.convexHull(outline)
        short, long = sorted(cv2.minAreaRect(hull)[1])
        is_nucleus = long <= LARGEST_ELONGATION * short and area >= LEAST_SOLIDITY * cv2.contourArea(hull)
        if short >= SMALLEST_PX and is_nucleus and cut <= LARGEST_CUT:
            areas.append(area)
            widths.append(float(np.sqrt(short * long)))
    if not areas or sum(areas) < LEAST_SHARE * total:
        return 0.0
    order = np.argsort(widths)
    weight = np.cumsum(np.array(areas)[order])
    return float(widths[order[np.searchsorted(weight, weight[-1] / 2)]])
