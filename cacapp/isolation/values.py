"""cacapp's values as plain arrays, and back: what a child gives is rebuilt here from numbers, whatever it claims them to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cacapp.exceptions import CacappError
from cacapp.processes.child import DTYPES
from cacapp.scene import Scene
from cacapp.types import Array, Instance, Prompts, Shapes, Signals

Arrays = Mapping[str, Array]

SHAPES = ("area_px", "length_px", "width_px", "roundness", "solidity", "on_edge")
SIGNALS = ("yx", "snr", "amplitude", "sigma_px")


def pack_instances(instances: Sequence[Instance]) -> dict[str, Array]:
    """``boxes_xywh`` (N, 4) int32, ``scores`` (N,) float64, ``masks`` (sum of w * h,) bool: the crops one after the other, row by row."""
    masks = [np.asarray(i.mask, bool).ravel() for i in instances]
    return {
        "boxes_xywh": np.array([i.bbox_xywh for i in instances], np.int32).reshape(-1, 4),
        "scores": np.array([i.score for i in instances], np.float64),
        "masks": np.concatenate(masks) if masks else np.zeros(0, bool),
    }


def unpack_instances(arrays: Arrays) -> list[Instance]:
    """Raises CacappError where the arrays do not belong together."""
    boxes, scores, masks = _array(arrays, "boxes_xywh", 2), _array(arrays, "scores", 1), _array(arrays, "masks", 1)
    if boxes.shape[1] != 4 or boxes.dtype != np.int32 or len(scores) != len(boxes):
        raise CacappError("its process answered with boxes_xywh that are not (N, int32 4), or other than N scores")
    sizes = boxes[:, 2].astype(np.int64) * boxes[:, 3]
    if (boxes[:, 2:] < 1).any() or int(sizes.sum()) != len(masks):
        raise CacappError("its process answered with masks that do not fit their boxes")
    ends = np.cumsum(sizes)
    instances = []
    for (x, y, w, h), score, end in zip(boxes.tolist(), scores.tolist(), ends.tolist(), strict=True):
        instances.append(Instance((x, y, w, h), masks[end - w * h : end].reshape(h, w).astype(bool), score))
    return instances


def pack_prompts(prompts: Prompts) -> dict[str, Array]:
    """``points_xy`` (N, P, 2), ``point_labels`` (N, P), ``boxes_xyxy`` (N, 4) where there are boxes; the regions as instances."""
    boxes = {} if prompts.boxes_xyxy is None else {"boxes_xyxy": prompts.boxes_xyxy}
    return {"points_xy": prompts.points_xy, "point_labels": prompts.point_labels} | boxes | pack_instances(prompts.regions)


def unpack_prompts(arrays: Arrays) -> Prompts:
    return Prompts(
        _array(arrays, "points_xy", 3), _array(arrays, "point_labels", 2), arrays.get("boxes_xyxy"), tuple(unpack_instances(arrays))
    )


def pack_shapes(shapes: Shapes) -> dict[str, Array]:
    """An (N,) array of each feature, by its name."""
    return {name: getattr(shapes, name) for name in SHAPES}


def unpack_shapes(arrays: Arrays, pixel_size_um: float | None) -> Shapes:
    area, length, width, roundness, solidity, edge = (_array(arrays, name, 1) for name in SHAPES)
    return Shapes(area, length, width, roundness, solidity, edge, pixel_size_um)


def pack_signals(signals: Signals) -> dict[str, Array]:
    """``yx`` (N, 2) float32, ``snr``, ``amplitude``, ``sigma_px`` (N,) float32."""
    return {name: getattr(signals, name) for name in SIGNALS}


def unpack_signals(arrays: Arrays) -> Signals:
    return Signals(*(_array(arrays, name, 2 if name == "yx" else 1) for name in SIGNALS))


def pack_scene(scene: Scene) -> dict[str, Any]:
    """Every field of a scene but ``read``, as JSON values."""
    fields = {name: getattr(scene, name) for name in scene.__dataclass_fields__ if name not in ("dtype", "read")}
    return fields | {"dtype": scene.dtype.newbyteorder("=").name}


def unpack_scene(fields: Any, read: Callable[[int, int], Array]) -> Scene:
    """Raises CacappError where fields are missing; their values are for the guard to check."""
    names = set(Scene.__dataclass_fields__) - {"read"}
    if not isinstance(fields, dict) or set(fields) != names or fields["dtype"] not in DTYPES:
        raise CacappError("its process answered with a scene that is incomplete")
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return Scene(**plain | {"dtype": np.dtype(fields["dtype"]), "read": read})


def _array(arrays: Arrays, name: str, dimensions: int) -> Array:
    array = arrays.get(name)
    if array is None or array.ndim != dimensions:
        raise CacappError(f"its process answered without {name}, or not with {dimensions} axes")
    return array
