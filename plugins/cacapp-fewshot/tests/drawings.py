"""A simulated frame as a file, and boxes that a person might have drawn on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from cacapp.simulation import SlideModel, simulate_frame
from cacapp.types import Array


@dataclass(frozen=True)
class Drawn:
    """A DAPI plane, its true labels, the true boxes (N, 4) px of whole nuclei, and the CSV file with some of them."""

    dapi: Array
    labels: Array
    boxes: Array
    file: Path


def draw(folder: Path, seed: int, count: int) -> Drawn:
    frame = simulate_frame(SlideModel(), np.random.default_rng(seed), 420, 440, 18)
    dapi, labels = frame.planes[0], frame.labels.astype(np.int32)
    places = [place for place in ndimage.find_objects(labels) if place is not None]
    boxes = np.array([(x.start, y.start, x.stop, y.stop) for y, x in places])
    whole = boxes[(boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < (440, 420)).all(axis=1)]
    tifffile.imwrite(folder / "seen.tif", dapi)
    lines = ["image,left,top,right,bottom", *(",".join(["seen.tif", *map(str, box)]) for box in whole[:count].tolist())]
    (folder / "examples.csv").write_text("\n".join(lines) + "\n")
    return Drawn(dapi, labels, boxes, folder / "examples.csv")
