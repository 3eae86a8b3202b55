"""Planes of a scene, and the checks common to all formats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cacapp.exceptions import CacappError
from cacapp.readers.quiet_libraries import quiet_libraries
from cacapp.scene import Scene, check_plane_size
from cacapp.types import Array

# Pixels may differ this much in x and y before areas and circles are wrong.
SQUARE_TOLERANCE = 0.01
# Of a pure dye's sum, what a JPEG of good quality leaves in the planes beside it.
LOSSY_SLACK = 0.10


def slices_as_channels(scene: Scene) -> Scene:
    """Return the same scene with its slices as channels."""

    def read(index: int, z: int) -> Array:
        return scene.read(0, index)

    return replace(scene, channels=scene.slices, n_z=1, slices=(), read=read)


def first_line(error: BaseException) -> str:
    """Return the message of a library's exception as one short line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


def read_plane(scene: Scene, index: int, z: int) -> Array:
    """Read one (Y, X) plane in the machine's byte order. Raises CacappError where the pixels cannot be decoded (without a file name)."""
    try:
        with quiet_libraries():
            plane = scene.read(index, z)
    except CacappError:
        raise
    except Exception as error:  # codecs raise exceptions of any type
        raise CacappError(f"pixels cannot be decoded ({first_line(error)}); copy or export it again") from error
    native = plane.dtype.newbyteorder("=")
    return plane if plane.dtype == native else plane.astype(native)


def check_pixels(scene: Scene) -> None:
    """Raise CacappError where pixels are neither uint8 nor uint16 (naming NaN where there are any)."""
    check_plane_size(scene.height_px, scene.width_px)
    if scene.dtype.name in ("uint8", "uint16"):
        return
    nan = ""
    if scene.dtype.kind == "f":
        planes = ((c, z) for c in range(max(len(scene.channels), 1)) for z in range(scene.n_z))
        nan = " with NaN" if any(np.isnan(read_plane(scene, c, z)).any() for c, z in planes) else ""
    raise CacappError(f"pixels are {scene.dtype.name}{nan}; uint8 and uint16 are read: convert to 16-bit (Fiji: Image > Type > 16-bit)")


def check_axes(scene: Scene, projection: str) -> None:
    """Raise CacappError for a time series, and for a z-stack without a projection."""
    if scene.n_time > 1:
        raise CacappError(f"a time series of {scene.n_time} points; export the one time point to analyse")
    if scene.n_z > 1 and projection == "none":
        raise CacappError(f"a z-stack of {scene.n_z} planes; say how it becomes one: --projection max|focus")


def square_pixel_um(scene: Scene) -> float | None:
    """Return the edge length of a pixel in µm, None where unknown. Raises CacappError where x and y differ beyond SQUARE_TOLERANCE."""
    if scene.pixel_size_xy_um is None:
        return None
    x_um, y_um = scene.pixel_size_xy_um
    if abs(x_um - y_um) > SQUARE_TOLERANCE * max(x_um, y_um):
        raise CacappError(f"pixels are not square ({x_um:.6g} x {y_um:.6g} µm); resample the image or correct its metadata")
    return x_um


def single_dye_sample(scene: Scene) -> int:
    """Return the index of the colour plane that holds the dye of an RGB export.

    Planes are taken as R, G, B; alpha is left out. Where they are proportional (any tint of one grey picture), the strongest has most
    grey levels; of equal planes (cyan, grey) it is the first. Lossy files may deviate by LOSSY_SLACK of the dye's sum, for their chroma is
    blurred; others by the rounding to whole numbers.

    Raises:
        CacappError: the planes are not proportional, so this is a composite or a colour table.
    """
    planes = [read_plane(scene, i, 0) for i in range(min(scene.n_samples, 3))]
    if scene.n_samples == 2:  # grey and alpha
        return 0
    sums = [float(p.sum(dtype=np.float64)) for p in planes]
    slack = 0.0 if scene.exact else LOSSY_SLACK * max(sums)
    filled = [i for i, s in enumerate(sums) if s > slack]
    if not filled:
        return 0
    first = planes[filled[0]].astype(np.int32)
    if all(float(np.abs(first - planes[i]).sum(dtype=np.float64)) <= slack for i in filled[1:]):
        return filled[0]
    strongest = max(filled, key=lambda i: sums[i])
    if all(_is_proportional(planes[i], planes[strongest], slack) for i in filled if i != strongest):
        return strongest
    raise CacappError(
        "an RGB image with different colours: a composite has no single channel; export each dye on its own, in grey (not in coloured JPEG)"
    )


def _is_proportional(plane: Array, strongest: Array, slack: float) -> bool:
    """Return whether a plane is a fixed part of another one, to one grey level each, or to ``slack`` in all."""
    of = strongest.astype(np.float64)
    bright = of >= of.max() / 2  # rounding to whole numbers biases the ratio of dark pixels
    left = np.abs(plane - of * (float(plane[bright].sum(dtype=np.float64)) / float(of[bright].sum())))
    return bool(left.sum() <= slack) if slack else bool(left.max() <= 1)
