"""Calls an algorithm and checks what it gives: shape, dtype, bounds, and that its input came back untouched.

Every complaint is a CacappError of one line that names the algorithm and where it comes from.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from cacapp.api import Algorithm, InstanceFilter, Prompter, Segmenter, SignalDetector
from cacapp.errors import CacappError
from cacapp.types import Array, Instance, Prompts, Shapes, Signals

T = TypeVar("T")


def prompt(algorithm: Prompter, dapi: Array, pixel_size_um: float | None) -> Prompts:
    """Runs a prompter on (Y, X) ``dapi`` and checks its Prompts."""
    with _untouched(algorithm, dapi) as view:
        result = _call(algorithm, lambda: algorithm.prompt(view, pixel_size_um))
    if not isinstance(result, Prompts):
        raise _wrong(algorithm, f"prompt() must return Prompts, got {type(result).__name__}")
    height, width = dapi.shape
    n = len(result.points_xy)
    points = _array(algorithm, "points_xy", result.points_xy, np.float32, (n, -1, 2))
    labels = _array(algorithm, "point_labels", result.point_labels, np.int8, (n, points.shape[1]))
    if not np.isin(labels, (-1, 0, 1)).all():
        raise _wrong(algorithm, "point_labels must be 1 (object), 0 (background) or -1 (padding)")
    used = points[labels >= 0]
    _inside(algorithm, "points_xy", used, width, height)
    if result.boxes_xyxy is not None:
        boxes = _array(algorithm, "boxes_xyxy", result.boxes_xyxy, np.float32, (n, 4))
        _inside(algorithm, "boxes_xyxy", boxes.reshape(-1, 2), width + 1, height + 1)
        if (boxes[:, :2] >= boxes[:, 2:]).any():
            raise _wrong(algorithm, "boxes_xyxy must have left < right and top < bottom")
    if len(result.regions) not in (0, n):
        raise _wrong(algorithm, f"regions must be empty or one a prompt: {n} prompts, {len(result.regions)} regions")
    _instances(algorithm, "regions", result.regions, width, height)
    return result


def segment(algorithm: Segmenter, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
    """Runs a segmenter on (Y, X) ``dapi`` and checks its Instances."""
    with _untouched(algorithm, dapi) as view:
        result = _call(algorithm, lambda: algorithm.segment(view, prompts, pixel_size_um))
    if not isinstance(result, list):
        raise _wrong(algorithm, f"segment() must return a list of Instance, got {type(result).__name__}")
    _instances(algorithm, "instances", result, dapi.shape[1], dapi.shape[0])
    return result


def judge(algorithm: InstanceFilter, shapes: Shapes) -> tuple[list[str | None], dict[str, float]]:
    """Runs a filter on N shapes: N reasons (None accepts) and the limits it held them against."""
    reasons = _call(algorithm, lambda: algorithm.judge(shapes))
    if not isinstance(reasons, list) or len(reasons) != len(shapes):
        raise _wrong(algorithm, f"judge() must return a list of {len(shapes)} reasons, got {_count(reasons)}")
    bad = next((r for r in reasons if r is not None and (not isinstance(r, str) or not r)), None)
    if bad is not None:
        raise _wrong(algorithm, f"a reason must be text or None, got {bad!r}")
    limits = _call(algorithm, lambda: algorithm.limits(shapes))
    if not isinstance(limits, dict) or not all(isinstance(k, str) and np.isfinite(v) for k, v in limits.items()):
        raise _wrong(algorithm, "limits() must return finite numbers by name")
    return reasons, {k: float(v) for k, v in limits.items()}


def detect(algorithm: SignalDetector, plane: Array, nuclei: Sequence[Instance], pixel_size_um: float | None) -> Signals:
    """Runs a signal detector on a (Y, X) probe plane and checks its Signals."""
    with _untouched(algorithm, plane) as view:
        result = _call(algorithm, lambda: algorithm.detect(view, nuclei, pixel_size_um))
    if not isinstance(result, Signals):
        raise _wrong(algorithm, f"detect() must return Signals, got {type(result).__name__}")
    n = len(result.yx)
    yx = _array(algorithm, "yx", result.yx, np.float32, (n, 2))
    for field in ("snr", "amplitude", "sigma_px"):
        _array(algorithm, field, getattr(result, field), np.float32, (n,))
    _inside(algorithm, "yx", yx[:, ::-1], plane.shape[1], plane.shape[0])
    return result


def _call(algorithm: Algorithm, work: Callable[[], T]) -> T:
    try:
        return work()
    except CacappError:
        raise
    except MemoryError as error:
        raise _wrong(algorithm, "ran out of memory") from error
    except Exception as error:
        text = " ".join(str(error).split())
        if "read-only" in text:
            raise _wrong(algorithm, f"tried to change its input ({text}); it must work on a copy") from error
        raise _wrong(algorithm, f"failed: {type(error).__name__}: {text}") from error


@contextmanager
def _untouched(algorithm: Algorithm, image: Array) -> Iterator[Array]:
    """A read-only view of the image, and a complaint when its pixels changed all the same."""
    image = np.ascontiguousarray(image)
    before = zlib.crc32(image.data)
    view = image.view()
    view.flags.writeable = False
    yield view
    if zlib.crc32(image.data) != before:
        raise _wrong(algorithm, "changed its input image; it must work on a copy")


def _instances(algorithm: Algorithm, what: str, instances: Sequence[Instance], width: int, height: int) -> None:
    for number, instance in enumerate(instances):
        where = f"{what}[{number}]"
        if not isinstance(instance, Instance):
            raise _wrong(algorithm, f"{where} must be an Instance, got {type(instance).__name__}")
        mask = instance.mask
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.ndim != 2:
            raise _wrong(algorithm, f"{where}.mask must be a 2-D bool array, got {_describe(mask)}")
        x, y, w, h = instance.bbox_xywh
        if mask.shape != (h, w):
            raise _wrong(algorithm, f"{where}.mask has shape {mask.shape}, its box says {(h, w)}")
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
            raise _wrong(algorithm, f"{where} lies outside the frame: box {instance.bbox_xywh}, frame {width} x {height}")
        if not mask.any():
            raise _wrong(algorithm, f"{where}.mask is empty")
        if not 0 <= instance.score <= 1:
            raise _wrong(algorithm, f"{where}.score must be in [0, 1], got {instance.score}")


def _array(algorithm: Algorithm, name: str, value: object, dtype: type, shape: tuple[int, ...]) -> Array:
    ok = isinstance(value, np.ndarray) and value.dtype == dtype and value.ndim == len(shape)
    if not ok or any(want not in (-1, got) for want, got in zip(shape, value.shape, strict=True)):  # type: ignore[attr-defined]
        wanted = "(" + ", ".join("P" if s == -1 else str(s) for s in shape) + ")"
        raise _wrong(algorithm, f"{name} must be {np.dtype(dtype).name} of shape {wanted}, got {_describe(value)}")
    array: Array = value  # type: ignore[assignment]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _wrong(algorithm, f"{name} holds NaN or infinity")
    return array


def _inside(algorithm: Algorithm, name: str, xy: Array, width: int, height: int) -> None:
    if len(xy) and ((xy < -0.5).any() or (xy[:, 0] > width - 0.5).any() or (xy[:, 1] > height - 0.5).any()):
        raise _wrong(algorithm, f"{name} lies outside the frame of {width} x {height} px")


def _describe(value: object) -> str:
    return f"{value.dtype.name} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _count(value: object) -> str:
    return f"{len(value)}" if isinstance(value, list) else type(value).__name__


def _wrong(algorithm: Algorithm, what: str) -> CacappError:
    return CacappError(f"{type(algorithm).name!r} ({type(algorithm).__module__}): {what}")
