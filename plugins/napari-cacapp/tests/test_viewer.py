"""In napari itself, where it is installed: without a window, for reader, writer and panels need none."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")


def test_a_slide_opens_is_corrected_and_saved_in_a_viewer(record: Path) -> None:
    from napari.components import ViewerModel
    from napari_cacapp.corrections import corrections, slide_of
    from napari_cacapp.layers import OPEN
    from napari_cacapp.widgets import decide_selected, open_slide, save_reviews

    viewer = ViewerModel()
    for data, about, kind in open_slide(record, "S1"):
        getattr(viewer, f"add_{kind}")(data, **about)
    assert len(viewer.layers) == 11
    cells, red = viewer.layers["S1 cells"], viewer.layers["S1 red signals"]
    layers = [layer.as_layer_data_tuple() for layer in viewer.layers]
    assert corrections(slide_of(layers), layers) == [], "napari hands back what it was given"

    row = int(cells.features.index[cells.features["class"] == "cac"][0])
    cells.selected_data = {row}
    decide_selected(viewer, "normal", "looks fine")
    place = red.data[0]
    red.add(place + np.array([0, 4, 3]))
    assert red.features.iloc[-1]["number"] == -1
    assert save_reviews(viewer) == "2 reviews saved as rita"
    assert save_reviews(viewer) == "0 reviews saved as rita"
    view = next(iter(v for v in OPEN.values() if v.place.db == str(record)))
    assert view.states[int(cells.features.loc[row, "cell_id"])].class_ == "normal"


def test_the_slide_of_the_active_layer_is_decided_on(record: Path) -> None:
    from napari.components import ViewerModel
    from napari_cacapp.widgets import decide_selected, open_slide

    from cacapp.exceptions import UsageError

    viewer = ViewerModel()
    with pytest.raises(UsageError, match="open a slide"):
        decide_selected(viewer)
    for _ in range(2):
        for data, about, kind in open_slide(record, "S1"):
            getattr(viewer, f"add_{kind}")(data, **about)
    first, second = (layer for layer in viewer.layers if layer.name.startswith("S1 cells"))
    first.selected_data = {0}
    viewer.layers.selection.clear()
    with pytest.raises(UsageError, match="several slides"):
        decide_selected(viewer)
    viewer.layers.selection.active = viewer.layers[-2]  # signals of the second
    with pytest.raises(UsageError, match="select cells first"):
        decide_selected(viewer)
    second.selected_data = {1}
    decide_selected(viewer, "normal")
    assert second.features.loc[1, "decided"]
    assert not first.features["decided"].any()


def test_decisions_are_chosen_from_a_list(record: Path) -> None:
    magicgui = pytest.importorskip("magicgui")
    pytest.importorskip("qtpy.QtWidgets")
    from napari_cacapp.widgets import decide_selected, open_slide

    open_slide(record, "S1")
    panel = magicgui.magicgui(decide_selected, auto_call=False)
    assert {"accept", "cac", "normal", "not evaluable"} <= set(panel.decision.choices)


def test_napari_opens_a_record_through_the_manifest(record: Path) -> None:
    from napari.components import ViewerModel
    from npe2 import DynamicPlugin, PluginManager, PluginManifest

    manager = PluginManager.instance()
    manifest = PluginManifest.from_file(str(files("napari_cacapp") / "napari.yaml"))
    if "napari-cacapp" in manager:
        viewer = ViewerModel()
        viewer.open(str(record), plugin="napari-cacapp")
    else:
        with DynamicPlugin("napari-cacapp", plugin_manager=manager, manifest=manifest):
            viewer = ViewerModel()
            viewer.open(str(record), plugin="napari-cacapp")
    assert [layer.name for layer in viewer.layers][-1] == "S1 cells"
    saved = viewer.layers.save(str(record), plugin="napari-cacapp") if "napari-cacapp" in manager else [str(record)]
    assert saved == [str(record)]
