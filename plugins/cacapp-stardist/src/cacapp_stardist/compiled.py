"""Compiled functions of StarDist, loaded without the rest of the package.

Importing ``stardist`` imports scikit-image in a version that cacapp's image readers require and that does not load with a current
numpy. Distances and suppression are in an extension module that needs numpy alone.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

from cacapp.exceptions import CacappError
from cacapp.types import Array

MODULE = "stardist.lib.stardist2d"


@lru_cache(maxsize=1)
def _module() -> Any:
    package = find_spec("stardist")
    folder = Path(package.origin).parent / "lib" if package and package.origin else Path()
    file = next((folder / f"stardist2d{suffix}" for suffix in EXTENSION_SUFFIXES if (folder / f"stardist2d{suffix}").is_file()), None)
    if file is None:
        raise CacappError(f"stardist has no compiled module in {folder}; install it again: pip install --force-reinstall stardist")
    spec = spec_from_file_location(MODULE, file, loader=ExtensionFileLoader(MODULE, str(file)))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.get(MODULE) or module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def star_distances(labels: Array, rays: int, grid: int) -> Array:
    """Return (Y/grid, X/grid, rays) float32 px, the distances from each pixel of a nucleus to its outline along each ray.

    Args:
        labels: (Y, X) integers up to 65535.
    """
    return np.asarray(_module().c_star_dist(labels.astype(np.uint16), np.int32(rays), np.int32(grid), np.int32(grid)))


def suppress(distances_px: Array, middles_yx: Array, scores: Array, overlap: float) -> Array:
    """Return indices of the remaining polygons, the most probable first; one with a share of ``overlap`` in a more probable one is dropped.

    Args:
        distances_px: (N, rays). middles_yx: (N, 2) px. scores: (N,).
    """
    order = np.argsort(-scores, kind="stable")
    kept = _module().c_non_max_suppression_inds(
        np.ascontiguousarray(distances_px[order], np.float32),
        np.ascontiguousarray(middles_yx[order], np.float32),
        1,
        1,
        0,
        np.float32(overlap),
    )
    return np.asarray(order[kept])


def corners_of(distances_px: Array, middles_yx: Array) -> Array:
    """Return (N, rays, 2) corners (x, y) px of polygons."""
    angles = np.linspace(0, 2 * np.pi, distances_px.shape[1], endpoint=False)
    return np.asarray(middles_yx[:, None, ::-1] + distances_px[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1))
