"""Projection of a z-stack to one plane."""

from __future__ import annotations

import cv2
import numpy as np

from cacapp.exceptions import UsageError
from cacapp.frames.scene import read_plane
from cacapp.scene import Scene
from cacapp.types import Array

PROJECTIONS = ("none", "max", "focus")


def check_projection(projection: str) -> None:
    """Raise UsageError for anything but one of PROJECTIONS."""
    if projection not in PROJECTIONS:
        raise UsageError(f"--projection {projection}: unknown; one of {', '.join(PROJECTIONS)}")


def maximum(scene: Scene, index: int) -> Array:
    """Return the (Y, X) maximum over z of a channel, with two planes in memory."""
    result = np.array(read_plane(scene, index, 0))
    for z in range(1, scene.n_z):
        np.maximum(result, read_plane(scene, index, z), out=result)
    return result


def focus_z(scene: Scene, index: int) -> int:
    """Return the sharpest plane of a channel: the highest variance of the Laplacian (Pech-Pacheco et al. 2000); the first if equal."""
    sharpness = []
    for z in range(scene.n_z):
        _, deviation = cv2.meanStdDev(cv2.Laplacian(read_plane(scene, index, z), cv2.CV_32F))
        sharpness.append(float(deviation[0, 0]) ** 2)
    return int(np.argmax(sharpness))
