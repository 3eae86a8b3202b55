"""Speaks the protocol in place of SEEM: a mask is what is brighter than the tile's mean and connected to the prompt."""

import runpy
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy import ndimage

PLAIN = runpy.run_path(str(Path(find_spec("cacapp_seem").origin).with_name("template.py")))


def ask(model, image, points_xy, point_labels, boxes_xyxy, text):
    if text == "hang":
        time.sleep(60)
    if text == "garbage":
        return np.zeros((1, 3, 3), bool), [1.0]
    if text == "fail":
        raise ValueError("no such words")
    labels, count = ndimage.label(image[..., 0] > max(40, image.mean()))
    if text is not None:
        return [labels == value for value in range(1, count + 1)], [0.9] * count
    places = points_xy[:, 0] if points_xy is not None else (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    asked = [labels[tuple(np.clip(np.rint(xy[::-1]).astype(int), 0, np.array(labels.shape) - 1))] for xy in places]
    return [labels == value if value else np.zeros(labels.shape, bool) for value in asked], [0.9 if value else 0.0 for value in asked]


PLAIN["handlers"].__globals__.update(load_seem=lambda: None, ask_seem=ask)
handlers = PLAIN["handlers"]
