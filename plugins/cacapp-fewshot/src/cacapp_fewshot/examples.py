"""Examples drawn by a person: a CSV file of boxes, and their images."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cacapp.exceptions import CacappError, UsageError
from cacapp.types import Array
from cacapp.weights.digest import sha256_of

COLUMNS = ("image", "left", "top", "right", "bottom")
MOST = 20
"""Largest number of boxes; one to five are enough."""


@dataclass(frozen=True, slots=True)
class Example:
    """Example boxes on an image.

    Attributes:
        image: file of the image.
        boxes_xyxy: (N, 4) float64, px: (left, top, right, bottom).
    """

    image: Path
    boxes_xyxy: Array


def read_examples(path: Path) -> list[Example]:
    """Read the examples of a CSV file with the columns image, left, top, right, bottom (px); images are searched beside it.

    Raises:
        UsageError: the file does not exist, or a line of it is wrong.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(f"{path}: no column {missing[0]}; its first line is to be: {','.join(COLUMNS)}")
            boxes: dict[Path, list[list[float]]] = {}
            for row in reader:
                image, box = _row(path, reader.line_num, row)
                boxes.setdefault(image, []).append(box)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"examples {path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    count = sum(map(len, boxes.values()))
    if not 1 <= count <= MOST:
        raise UsageError(f"{path}: {count} boxes; give 1 to {MOST}, of one to five typical nuclei")
    return [Example(image, np.array(own)) for image, own in boxes.items()]


def digest_of(path: Path) -> str:
    """Return the SHA-256 over the boxes and their images. Raises UsageError if an image is missing."""
    examples = read_examples(path)
    parts = [f"{sha256_of(one.image)} {one.boxes_xyxy.tolist()}" for one in examples]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def read_image(example: Example) -> tuple[Array, float | None]:
    """Read the DAPI plane of an example's image, (Y, X), and its pixel size, µm. Raises UsageError if a box lies outside."""
    from cacapp.exchange.labelled_images import read_dapi

    try:
        pixels = read_dapi(example.image)
    except CacappError as error:
        raise UsageError(f"image of the examples: {error}") from error
    height, width = pixels.dapi.shape
    for box in example.boxes_xyxy.tolist():
        if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
            raise UsageError(f"{example.image}: box {_told(box)} does not lie on the image of {width} x {height} px")
    return pixels.dapi, pixels.pixel_size_um


def _row(path: Path, line: int, row: dict[str, str | None]) -> tuple[Path, list[float]]:
    where = f"{path}, line {line}"
    try:
        box = [float(row[name] or "") for name in COLUMNS[1:]]
    except ValueError:
        raise UsageError(f"{where}: {', '.join(COLUMNS[1:])} must be numbers, px") from None
    if not np.isfinite(box).all() or box[0] >= box[2] or box[1] >= box[3]:
        raise UsageError(f"{where}: box {_told(box)}: left must be less than right, and top less than bottom")
    image = path.parent / (row["image"] or "")
    if not image.is_file():
        raise UsageError(f"{where}: image {image}: no such file")
    return image, box


def _told(box: list[float]) -> str:
    return "(" + ", ".join(f"{v:g}" for v in box) + ")"
