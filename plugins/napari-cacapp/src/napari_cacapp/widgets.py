"""Functions of the three panels, from which napari makes widgets (``autogenerate``) by their annotations (objects, not strings)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cacapp.exceptions import UsageError
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


def open_slide(database: Path = Path("cacapp.db"), slide: str = "", reviewer: str = "") -> "list[napari.types.LayerDataTuple]":
    """Open a slide of a database by its barcode, with the reviewer's name (your login name by default)."""
    return layers_of(view_slide(Place(str(database), slide or None, reviewer or None)))


def _decisions(_: object) -> list[str]:
    """Return the choices: the classes of the assays of all opened slides, and the two that every assay has."""
    classes = [name for view in OPEN.values() for name in view.classes]
    return [ACCEPT, *dict.fromkeys(classes), NOT_EVALUABLE]


def decide_selected(viewer: "napari.Viewer", decision: Annotated[str, {"choices": _decisions}] = ACCEPT, reason: str = "") -> None:
    """Decide on the cells selected in the "cells" layer: "accept", a class of the assay, or "not evaluable" with a reason.

    Raises UsageError if no slide is open, nothing is selected or there is no such class. It is saved with "Save reviews".
    """
    cells = _cells_layer(viewer)
    view = OPEN[cells.metadata[KEY]["slide"]]
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


def _cells_layer(viewer: "napari.Viewer") -> "napari.layers.Points":
    """Return the "cells" layer of the active layer's slide, or of the only slide if the active layer has none."""
    layers = {one.metadata[KEY]["slide"]: one for one in viewer.layers if one.metadata.get(KEY, {}).get("layer") == "cells"}
    layers = {token: one for token, one in layers.items() if token in OPEN}
    active = viewer.layers.selection.active
    token = active.metadata.get(KEY, {}).get("slide") if active is not None else None
    if token in layers:
        return layers[token]
    if len(layers) == 1:
        return next(iter(layers.values()))
    raise UsageError("several slides are open: click a layer of the one you mean" if layers else "open a slide with cacapp first")


def save_reviews(viewer: "napari.Viewer") -> str:
    """Save the corrections of the open slide as reviews, show their number, and update the cells."""
    from napari.utils.notifications import show_info

    layers: list[Any] = [layer.as_layer_data_tuple() for layer in viewer.layers if KEY in layer.metadata]
    view = slide_of(layers)
    done = save(view, layers)
    fresh = OPEN[view.token]
    for layer in viewer.layers:
        if layer.metadata.get(KEY, {}).get("layer") == "cells":
            layer.features = cell_table(fresh).drop(columns=["index"])
            layer.refresh_text()
    fresh.shown = {cell_id: (s.label, s.decided, s.exclusion_reason or "") for cell_id, s in fresh.states.items()}
    told = f"{done} {'review' if done == 1 else 'reviews'} saved as {view.reviewer}"
    show_info(told)
    return told
