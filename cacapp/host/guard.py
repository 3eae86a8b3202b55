"""Call an algorithm and check its result: types, shapes, dtypes, bounds, and that its input is unchanged.

Every error is a CacappError of one line that names the algorithm, its plugin and its distribution; of an exception inside the plugin, also
the last line of the plugin's own code.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from cacapp.activity import active
from cacapp.api import Algorithm, InstanceFilter, Prompter, Segmenter, SignalDetector
from cacapp.exceptions import CacappError, UsageError
from cacapp.host.origin import origin_of
from cacapp.host.tampering import restore_patched, snapshot
from cacapp.processes.child import failure
from cacapp.types import Array, Instance, Prompts, Shapes, Signals

T = TypeVar("T")


def prompt(algorithm: Prompter, dapi: Array, pixel_size_um: float | None) -> Prompts:
    """Run a prompter on (Y, X) ``dapi`` and check its Prompts."""
    with _untouched(algorithm, dapi) as image:
        result = call(algorithm, lambda: algorithm.prompt(image, pixel_size_um))
    if not isinstance(result, Prompts):
        raise wrong(algorithm, f"prompt() must return Prompts, got {described_value(result)}")
    height, width = dapi.shape
    points = _array(algorithm, "points_xy", result.points_xy, np.float32, (None, None, 2))
    n = len(points)
    labels = _array(algorithm, "point_labels", result.point_labels, np.int8, (n, points.shape[1]))
    if not np.isin(labels, (-1, 0, 1)).all():
        raise wrong(algorithm, "point_labels must be 1 (object), 0 (background) or -1 (padding)")
    _inside(algorithm, "points_xy", points[labels >= 0], width, height)
    if result.boxes_xyxy is not None:
        boxes = _array(algorithm, "boxes_xyxy", result.boxes_xyxy, np.float32, (n, 4))
        # a box may end where the frame does: half a pixel beyond the last centre, a whole one where its end is exclusive
        _inside(algorithm, "boxes_xyxy", boxes.reshape(-1, 2), width, height, slack_px=1)
        if (boxes[:, :2] >= boxes[:, 2:]).any():
            raise wrong(algorithm, "boxes_xyxy must have left < right and top < bottom")
    if not isinstance(result.regions, tuple):
        raise wrong(algorithm, f"regions must be a tuple of Instance, got {described_value(result.regions)}")
    if len(result.regions) not in (0, n):
        raise wrong(algorithm, f"regions must be empty or one a prompt: {n} prompts, {len(result.regions)} regions")
    _instances(algorithm, "regions", result.regions, width, height)
    return result


def segment(algorithm: Segmenter, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
    """Run a segmenter on (Y, X) ``dapi`` and check its Instances."""
    with _untouched(algorithm, (dapi, prompts)) as (image, given):
        result = call(algorithm, lambda: algorithm.segment(image, given, pixel_size_um))
    if not isinstance(result, list):
        raise wrong(algorithm, f"segment() must return a list of Instance, got {described_value(result)}")
    _instances(algorithm, "instances", result, dapi.shape[1], dapi.shape[0])
    return result


def judge(algorithm: InstanceFilter, shapes: Shapes) -> tuple[list[str | None], dict[str, float]]:
    """Run a filter on N shapes; return N reasons (None accepts) and the limits that it compared them with."""
    with _untouched(algorithm, shapes) as given:
        reasons = call(algorithm, lambda: algorithm.judge(given))
        limits = call(algorithm, lambda: algorithm.limits(given))
    if not isinstance(reasons, list):
        raise wrong(algorithm, f"judge() must return a list of {len(shapes)} reasons, got {described_value(reasons)}")
    if len(reasons) != len(shapes):
        raise wrong(algorithm, f"judge() must return one reason or None a shape: {len(shapes)} shapes, {len(reasons)} answers")
    for reason in reasons:
        if reason is not None and not (isinstance(reason, str) and reason.strip()):
            raise wrong(algorithm, f"a reason must be text or None, got {reason!r}")
    if not isinstance(limits, dict):
        raise wrong(algorithm, f"limits() must return finite numbers by name, got {described_value(limits)}")
    for name, value in limits.items():
        if not isinstance(name, str) or not isinstance(value, Real) or not math.isfinite(value):
            raise wrong(algorithm, f"limits() must return finite numbers by name, got {name!r}: {value!r}")
    return reasons, {name: float(value) for name, value in limits.items()}


def detect(algorithm: SignalDetector, plane: Array, nuclei: Sequence[Instance], pixel_size_um: float | None) -> Signals:
    """Run a signal detector on a (Y, X) probe plane and check its Signals."""
    with _untouched(algorithm, (plane, tuple(nuclei))) as (image, given):
        result = call(algorithm, lambda: algorithm.detect(image, given, pixel_size_um))
    if not isinstance(result, Signals):
        raise wrong(algorithm, f"detect() must return Signals, got {described_value(result)}")
    yx = _array(algorithm, "yx", result.yx, np.float32, (None, 2))
    for field in ("snr", "amplitude", "sigma_px"):
        _array(algorithm, field, getattr(result, field), np.float32, (len(yx),))
    _inside(algorithm, "yx", yx[:, ::-1], plane.shape[1], plane.shape[0])
    return result


def call(algorithm: Algorithm, work: Callable[[], T]) -> T:
    """Return the result of an algorithm's code. Raises CacappError that names it where the code raises anything, or replaces numpy."""
    before = snapshot()
    try:
        with active(described(algorithm)):
            result = work()
    except UsageError as error:
        raise UsageError(f"{described(algorithm)}: {error}") from error
    except CacappError as error:
        raise wrong(algorithm, str(error)) from error
    except (Exception, SystemExit) as error:
        what = failure(error, type(algorithm).__module__)
        if isinstance(error, ValueError) and "read-only" in str(error):
            raise wrong(algorithm, f"tried to change its input ({what}); it must work on a copy") from error
        raise wrong(algorithm, what if isinstance(error, MemoryError) else f"failed: {what}") from error
    finally:
        changed = restore_patched(before)
    if changed:
        raise wrong(algorithm, f"replaced {changed[0]} for all code in its process; cacapp restored it; a plugin must not do that")
    return result


@contextmanager
def _untouched(algorithm: Algorithm, given: Any) -> Iterator[Any]:
    """Give the input with read-only arrays. Raises CacappError where their values changed nevertheless."""
    sealed = _sealed(given)
    arrays = list(_arrays(sealed))
    before = [zlib.crc32(array.data) for array in arrays]
    yield sealed
    if [zlib.crc32(array.data) for array in arrays] != before:
        raise wrong(algorithm, "changed its input; it must work on a copy")


def _sealed(value: Any) -> Any:
    """Return the same value with contiguous read-only views of its arrays, also inside tuples and the value types."""
    if isinstance(value, np.ndarray):
        view = np.ascontiguousarray(value).view()
        view.flags.writeable = False
        return view
    if isinstance(value, tuple):
        return tuple(map(_sealed, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _sealed(getattr(value, f.name)) for f in fields(value)})
    return value


def _arrays(value: Any) -> Iterator[Array]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _arrays(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _arrays(getattr(value, field.name))


def _instances(algorithm: Algorithm, what: str, instances: Sequence[Instance], width: int, height: int) -> None:
    for number, instance in enumerate(instances):
        where = f"{what}[{number}]"
        if not isinstance(instance, Instance):
            raise wrong(algorithm, f"{where} must be an Instance, got {described_value(instance)}")
        mask, box = instance.mask, instance.bbox_xywh
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.ndim != 2:
            raise wrong(algorithm, f"{where}.mask must be a 2-D bool array, got {described_value(mask)}")
        if not isinstance(box, tuple) or len(box) != 4 or not all(isinstance(v, int | np.integer) for v in box):
            raise wrong(algorithm, f"{where}.bbox_xywh must be four whole numbers, got {box!r}")
        x, y, w, h = box
        if mask.shape != (h, w):
            raise wrong(algorithm, f"{where}.mask has shape {mask.shape}, its box says {(int(h), int(w))}")
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
            raise wrong(algorithm, f"{where} lies outside the frame: box {tuple(map(int, box))}, frame {width} x {height}")
        if not mask.any():
            raise wrong(algorithm, f"{where}.mask is empty")
        if not isinstance(instance.score, Real) or not 0 <= instance.score <= 1:
            raise wrong(algorithm, f"{where}.score must be in [0, 1], got {instance.score!r}")


def _array(algorithm: Algorithm, name: str, value: object, dtype: type, shape: tuple[int | None, ...]) -> Array:
    """Return the value if it is a finite array of this dtype and shape (None: any length), else raise CacappError."""
    if (
        not isinstance(value, np.ndarray)
        or value.dtype != dtype
        or value.ndim != len(shape)
        or any(want not in (None, got) for want, got in zip(shape, value.shape, strict=True))
    ):
        wanted = "(" + ", ".join("any" if s is None else str(s) for s in shape) + ("," if len(shape) == 1 else "") + ")"
        raise wrong(algorithm, f"{name} must be {np.dtype(dtype).name} of shape {wanted}, got {described_value(value)}")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise wrong(algorithm, f"{name} holds NaN or infinity")
    return value


def _inside(algorithm: Algorithm, name: str, xy: Array, width: int, height: int, slack_px: float = 0.5) -> None:
    """Raise CacappError for points further than ``slack_px`` beyond the centres of the outermost pixels."""
    if ((xy < -slack_px) | (xy > np.array([width, height]) - 1 + slack_px)).any():
        raise wrong(algorithm, f"{name} lies outside the frame of {width} x {height} px")


def described_value(value: object) -> str:
    """Describe a wrong value: dtype and shape of an array, the type of any other."""
    return f"{value.dtype.name} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def described(algorithm: Algorithm) -> str:
    """Return name, plugin and distribution of an algorithm, as every error about it begins."""
    return f"{type(algorithm).name!r} ({origin_of(algorithm)})"


def wrong(algorithm: Algorithm, what: str) -> CacappError:
    """Return the error to raise for a wrong result of an algorithm."""
    return CacappError(f"{described(algorithm)}: {what}")
