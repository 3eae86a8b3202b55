"""Levels of one pyramid that are stored as images of their own: the largest is the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from cacapp.frames.scene import read_plane
from cacapp.scene import Scene

LEAST_STEP = 1.5
"""A level is smaller than the one above by at least this factor; whole-slide formats use 2 to 8."""
EQUAL = 0.9
"""Least correlation of a level with the largest image at its size. Two fields of one slide have less than 0.5."""
_SIDE_PX = 256


def _is_level(of: Scene, scene: Scene) -> bool:
    """Return whether one scene is another one at a smaller size: the sides' ratio and the pixels tell, whatever metadata says."""
    factor = (of.height_px / scene.height_px + of.width_px / scene.width_px) / 2
    if factor < LEAST_STEP or len(of.channels) != len(scene.channels) or of.n_z < scene.n_z or of.n_samples != scene.n_samples:
        return False
    # each halving may round a side up or down by less than a pixel
    if abs(of.height_px / factor - scene.height_px) > 2 or abs(of.width_px / factor - scene.width_px) > 2:
        return False
    side = (min(scene.width_px, _SIDE_PX), min(scene.height_px, _SIDE_PX))
    small, large = (cv2.resize(read_plane(s, 0, 0).astype(np.float32), side, interpolation=cv2.INTER_AREA).ravel() for s in (scene, of))
    if small.std() == 0 or large.std() == 0:
        return bool(small.std() == large.std())
    return float(np.corrcoef(small, large)[0, 1]) >= EQUAL


def without_levels(scenes: Sequence[Scene]) -> list[Scene]:
    """Return the scenes without those that are smaller versions of another one; the largest one carries a note about it."""
    kept: list[Scene] = []
    levels: dict[str, int] = {}
    for scene in sorted(scenes, key=lambda s: -s.height_px * s.width_px):
        of = next((s for s in kept if _is_level(s, scene)), None)
        if of is None:
            kept.append(scene)
        else:
            levels[of.key] = levels.get(of.key, 0) + 1
    if not levels:
        return list(scenes)
    left = [scene for scene in scenes if scene in kept]
    result = []
    for scene in left:
        n = levels.get(scene.key, 0)
        note = f"{n} of its images are smaller versions of it (a pyramid) and are left out" if n else ""
        result.append(replace(scene, title="" if len(left) == 1 else scene.title, note=note))
    return result
