"""LayerData of a slide for napari: images, nuclei, cells and signals, stacked by frame. Needs no Qt."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd

from cacapp.types import DAPI, Array
from napari_cacapp.slide import NEW, SlideView, pixels

COLOURS = {DAPI: "blue", "aqua": "cyan", "green": "green", "gold": "yellow", "red": "red"}
NOT_EVALUABLE = "not evaluable"
KEY = "cacapp"
"""Key in a layer's metadata: {"slide": token of the SlideView, "layer": "cells" or a channel}."""

LayerData = tuple[Any, dict[str, Any], str]
OPEN: dict[str, SlideView] = {}
"""Open slides by token, with which the layers are compared when they are saved."""


def layers_of(view: SlideView) -> list[LayerData]:
    """Return an image per channel, a labels layer of nuclei, points of cells with their calls, and points of the signals of each probe."""
    OPEN[view.token] = view
    cells = cell_table(view)
    found = [_image(view, name) for name in (DAPI, *view.channels)]
    found.append(_nuclei(view, cells))
    found += [_signals(view, name) for name in view.channels]
    found.append(_calls(view, cells))
    return found


def _stack(view: SlideView, read: Any, dtype: Any) -> da.Array:
    """Return a lazy (F, Y, X) stack; each frame is read when it is shown."""
    planes = [da.from_delayed(dask.delayed(read)(i), view.shape[1:], dtype) for i in range(len(view.frames))]
    return da.stack(planes)


def _image(view: SlideView, name: str) -> LayerData:
    def read(index: int) -> Array:
        return pixels(view.frames[index], name, view.shape[1:])

    dtype = np.dtype(view.frames[0].dtype)
    low, high = np.percentile(read(0)[::8, ::8], (1, 99.9))
    about = {
        "name": f"{view.barcode} {name}",
        "colormap": COLOURS.get(name, "gray"),
        "blending": "additive",
        "contrast_limits": (float(low), float(max(high, low + 1))),
        "visible": name == DAPI,
        "metadata": {KEY: {"slide": view.token, "layer": name}},
    }
    return _stack(view, read, dtype), about, "image"


def cell_table(view: SlideView) -> pd.DataFrame:
    """Return a table with one row per nucleus, in the order of the labels."""
    rows = []
    for number, (cell_id, nucleus) in enumerate(view.nuclei.items(), 1):
        state = view.states[cell_id]
        where = {"index": number, "cell_id": cell_id, "frame": view.frames[view.frame_of[cell_id]].name, "label": nucleus.label}
        call = {"class": state.label, "is_cac": state.is_cac, "needs_review": state.needs_review, "decided": state.decided}
        rows.append(where | call | {c: state.counts.get(c, 0) for c in view.channels} | {"reason": state.exclusion_reason or ""})
    columns = ["index", "cell_id", "frame", "label", "class", "is_cac", "needs_review", "decided", *view.channels, "reason"]
    return pd.DataFrame(rows, columns=columns)


def _nuclei(view: SlideView, cells: pd.DataFrame) -> LayerData:
    def read(index: int) -> Array:
        image = view.labels(index)
        return np.pad(image, ((0, view.shape[1] - image.shape[0]), (0, view.shape[2] - image.shape[1])))

    about = {
        "name": f"{view.barcode} nuclei",
        "features": cells,
        "opacity": 0.3,
        "metadata": {KEY: {"slide": view.token, "layer": "nuclei"}},
    }
    return _stack(view, read, np.int32), about, "labels"


def _signals(view: SlideView, channel: str) -> LayerData:
    own = [s for s in view.spots if s.channel == channel]
    features = pd.DataFrame(
        {
            "cell_id": np.array([s.cell_id for s in own], np.int64),
            "number": np.array([s.number for s in own], np.int64),
            "snr": np.array([s.snr for s in own], np.float64),
        }
    )
    about = {
        "name": f"{view.barcode} {channel} signals",
        "features": features,
        "feature_defaults": {"cell_id": 0, "number": NEW, "snr": 0.0},
        "size": 8,
        "symbol": "ring",
        "face_color": COLOURS.get(channel, "white"),
        "border_color": COLOURS.get(channel, "white"),
        "metadata": {KEY: {"slide": view.token, "layer": channel}},
    }
    data = [[view.frame_of[s.cell_id], s.y_px, s.x_px] for s in own]
    return np.array(data, np.float64).reshape(-1, 3), about, "points"


def _calls(view: SlideView, cells: pd.DataFrame) -> LayerData:
    features = cells.drop(columns=["index"])
    flagged = (cells["is_cac"] | cells["needs_review"]).to_numpy(bool)
    colour = np.where(flagged[:, None], np.array([[1, 0.3, 0.1, 1.0]]), np.array([[0.6, 0.6, 0.6, 0.4]]))
    about = {
        "name": f"{view.barcode} cells",
        "features": features,
        "size": 14,
        "symbol": "cross",
        "face_color": colour,
        "border_color": colour,
        "text": {"string": "{class}", "size": 8, "anchor": "upper_left", "color": "white", "visible": True},
        "metadata": {KEY: {"slide": view.token, "layer": "cells"}},
    }
    data = [[view.frame_of[n.cell_id], n.y_px, n.x_px] for n in view.nuclei.values()]
    return np.array(data, np.float64).reshape(-1, 3), about, "points"
