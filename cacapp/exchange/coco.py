"""COCO: one ``annotations.json`` for many frames, masks as run lengths of the whole frame or as polygons."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cacapp.arrays import rle
from cacapp.exceptions import CacappError
from cacapp.exchange.nucleus import Nucleus
from cacapp.exchange.outline import rasterize, ring_area
from cacapp.frames.file import stem
from cacapp.types import Instance


@dataclass(frozen=True, slots=True)
class Annotated:
    """Image of a COCO file: its stated sizes and its annotations as written."""

    file: Path
    height_px: int
    width_px: int
    annotations: tuple[Mapping[str, Any], ...]


def annotation(nucleus: Nucleus, image_id: int, height_px: int, width_px: int) -> dict[str, Any]:
    """Return a nucleus as a COCO annotation, with class and counts beside COCO's own fields."""
    instance = nucleus.instance
    counts = rle.encode_in_frame(instance.mask, instance.bbox_xywh, height_px, width_px).decode()
    return {
        "id": nucleus.cell_id,
        "image_id": image_id,
        "category_id": 1,
        "bbox": list(instance.bbox_xywh),
        "area": nucleus.area_px,
        "iscrowd": 0,
        "segmentation": {"size": [height_px, width_px], "counts": counts},
        "class": nucleus.class_,
        "is_cac": nucleus.is_cac,
        "counts": dict(nucleus.counts),
        "evaluable": nucleus.evaluable,
    }


def read_coco(path: Path, slide: str) -> dict[str, Annotated]:
    """Read a slide's images by the name of their frame: the field ``frame``, else the file name without folder and suffix.

    Images that name another slide are left out, and so are crowds (``iscrowd`` 1), which do not separate nuclei.

    Raises:
        CacappError: no COCO file, or two images of one name.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise CacappError(f"{path}: no JSON; export it again as COCO") from None
    try:
        own = [i for i in content["images"] if i.get("slide", slide) == slide]
        by_image: dict[Any, list[Mapping[str, Any]]] = {image["id"]: [] for image in own}
        for one in content["annotations"]:
            if one["image_id"] in by_image and not one.get("iscrowd"):
                by_image[one["image_id"]].append(one)
        found: dict[str, Annotated] = {}
        for image in own:
            name = str(image.get("frame") or stem(Path(image["file_name"])))
            if name in found:
                raise CacappError(f"{path}: two images are frame {name} (image {image['id']} is the second); keep one")
            found[name] = Annotated(path, int(image["height"]), int(image["width"]), tuple(by_image[image["id"]]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CacappError(f"{path}: no COCO file of instances ({type(error).__name__}: {error}); it needs images and annotations") from None
    return found


def nuclei_of(annotated: Annotated, height_px: int, width_px: int) -> list[Instance]:
    """Return the nuclei of a frame of (height_px, width_px), in the order of the file.

    Raises:
        CacappError: sizes differ, or an annotation that is no mask of the frame; one line that names file and annotation.
    """
    if (annotated.height_px, annotated.width_px) != (height_px, width_px):
        raise CacappError(
            f"{annotated.file}: the image is {annotated.width_px} x {annotated.height_px} px, the frame {width_px} x {height_px} px"
        )
    instances = []
    for one in annotated.annotations:
        try:
            instances.append(_instance(one.get("segmentation"), height_px, width_px))
        except CacappError as error:
            raise CacappError(f"{annotated.file}: annotation {one.get('id')}: {error}") from error
    return instances


def _instance(segmentation: Any, height_px: int, width_px: int) -> Instance:
    try:
        if isinstance(segmentation, list) and segmentation:
            from shapely import union_all

            parts = [ring_area(np.asarray(ring, np.float64).reshape(-1, 2)) for ring in segmentation]
            return rasterize(union_all(parts), height_px, width_px)
        if isinstance(segmentation, dict):
            return _unpacked(segmentation, height_px, width_px)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise CacappError("its segmentation is neither run lengths nor polygons of x, y") from None
    raise CacappError("has no segmentation, only a box; export masks or polygons")


def _unpacked(segmentation: Mapping[str, Any], height_px: int, width_px: int) -> Instance:
    size, counts = segmentation["size"], segmentation["counts"]
    if list(size) != [height_px, width_px]:
        raise CacappError(f"its run lengths are of {size[1]} x {size[0]} px")
    runs = rle.run_lengths(counts.encode()) if isinstance(counts, str) else [int(n) for n in counts]
    if min(runs, default=-1) < 0 or sum(runs) != height_px * width_px:
        raise CacappError("its run lengths do not add up to the image")
    if not any(runs[1::2]):
        raise CacappError("its mask is empty")
    ends = np.cumsum(np.array(runs, np.int64))
    starts = ends - runs
    nucleus = np.flatnonzero(runs)
    nucleus = nucleus[nucleus % 2 == 1]
    left, right = int(starts[nucleus[0]]) // height_px, (int(ends[nucleus[-1]]) - 1) // height_px + 1
    # only the columns of the nucleus are unpacked
    inside = np.diff(np.clip([starts, ends], left * height_px, right * height_px), axis=0)[0]
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, inside).reshape(right - left, height_px).T
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    crop = np.ascontiguousarray(mask[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1])
    return Instance((left + int(xs[0]), int(ys[0]), crop.shape[1], crop.shape[0]), crop)
