"""The three panels. They are plain functions: napari makes widgets of them (``autogenerate``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cacapp.errors import UsageError
from napari_cacapp.corrections import slide_of
from napari_cacapp.layers import KEY, NOT_EVALUABLE, OPEN, cell_table, layers_of
from napari_cacapp.place import Place
from napari_cacapp.slide import view_slide
from napari_cacapp.writer import save

if TYPE_CHECKING:
    import napari
    import napari.layers
    import napari.types

ACCEPT = "accept"


def open_slide(database: Path = Path("cacapp.db"), slide: str = "", reviewer: str = "") -> list[napari.types.LayerDataTuple]:
    """Opens a slide of a record: its barcode, and under whose name you review (your login name by default)."""
    return layers_of(view_slide(Place(str(database), slide or None, reviewer or None)))


def decide_selected(cells: napari.layers.Points, decision: str = ACCEPT, reason: str = "") -> None:
    """Decides on the cells selected in the "cells" layer: "accept", a class of the assay, or "not evaluable" with a reason.

    Raises UsageError for another layer, nothing selected or no such class. It is saved with "Save reviews".
    """
    about = cells.metadata.get(KEY, {})
    if about.get("layer") != "cells" or about.get("slide") not in OPEN:
        raise UsageError("choose the cells layer of a slide that cacapp opened")
    view = OPEN[about["slide"]]
    rows = sorted(cells.selected_data)
    if not rows:
        raise UsageError("select cells first, with napari's selection tool")
    if decision not in (ACCEPT, NOT_EVALUABLE, *view.classes):
        raise UsageError(f"decision {decision!r}: write {ACCEPT}, {NOT_EVALUABLE}, {', '.join(view.classes)}")
    if decision == NOT_EVALUABLE and not reason.strip():
        raise UsageError("say why the cells are not evaluable")
    features = cells.features.copy()
    if decision != ACCEPT:
        features.loc[rows, "class"] = decision
    features.loc[rows, "decided"] = True
    if reason.strip():
        features.loc[rows, "reason"] = reason.strip()
    cells.features = features
    cells.refresh_text()


def save_reviews(viewer: napari.Viewer) -> str:
    """Saves the corrections of the open slide as reviews, and shows the cells as they stand then."""
    layers: list[Any] = [layer.as_layer_data_tuple() for layer in viewer.layers if KEY in layer.metadata]
    view = slide_of(layers)
    done = save(view, layers)
    fresh = OPEN[view.token]
    for layer in viewer.layers:
        if layer.metadata.get(KEY, {}).get("layer") == "cells":
            layer.features = cell_table(fresh).drop(columns=["index"])
            layer.refresh_text()
    fresh.shown = {cell_id: (s.label, s.decided, s.exclusion_reason or "") for cell_id, s in fresh.states.items()}
    return f"{done} reviews saved as {view.reviewer}"
