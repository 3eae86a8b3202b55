"""Writer for npe2: stores changes in the layers as reviews, through cacapp's review step."""

from __future__ import annotations

from pathlib import Path

from cacapp.exceptions import CacappError, UsageError
from cacapp.steps.review.decide import decide
from napari_cacapp.corrections import corrections, shown_of, slide_of
from napari_cacapp.layers import KEY, OPEN, LayerData
from napari_cacapp.place import Place, require_reviewer
from napari_cacapp.slide import SlideView, view_slide


def write_reviews(path: str, layers: list[LayerData]) -> list[str]:
    """Save the corrections of a slide's layers into their database, to which ``path`` must point.

    Raises:
        CacappError: another database, an account that may not decide, or newer decisions of others.
    """
    view = slide_of(layers)
    named, own = Place.of_file(path), view.place
    if named.db != own.db and ("://" in own.db or Path(named.db).resolve() != Path(own.db).resolve()):
        raise UsageError(f"{path} is not the record that slide {view.barcode} is of ({own.db}); reviews go there")
    save(view, layers)
    return [path]


def save(view: SlideView, layers: list[LayerData]) -> int:
    """Save the corrections, one review each, and return their number; later changes are compared with the saved state.

    Raises:
        CacappError: a correction is invalid, then nothing is saved; or a cell has a newer decision, then all others are saved.
    """
    wanted = corrections(view, layers)
    database = view.place.open()
    refused: dict[int, str] = {}
    done = 0
    try:
        with database.reading() as session:
            require_reviewer(session, view.reviewer)
        seen = view.seen[view.position]
        for one in wanted:
            if one.cell_id in refused:
                continue
            try:
                outcome = decide(database, view.reviewer, one.cell_id, one.action, run_id=view.run_id, seen=seen.get(one.cell_id, 0))
            except CacappError as error:
                refused[one.cell_id] = str(error)
                continue
            assert outcome.review.id is not None
            seen[one.cell_id] = outcome.review.id
            done += 1
    finally:
        database.dispose()
    if refused:
        cell_id, why = next(iter(refused.items()))
        more = f"; so with {len(refused) - 1} more" if len(refused) > 1 else ""
        raise CacappError(f"{done} reviews saved. Not saved, cell {cell_id}: {why}{more}. Open the slide again to see what others decided")
    _refresh(view, layers)
    return done


def _refresh(view: SlideView, layers: list[LayerData]) -> None:
    """Update the state of database and layers with which the next change is compared."""
    fresh = view_slide(Place(view.place.db, view.barcode, view.reviewer))
    fresh.token = view.token
    for _, about, _ in layers:
        if (about.get("metadata") or {}).get(KEY, {}).get("layer") == "cells":
            fresh.shown |= {int(row["cell_id"]): shown_of(row) for row in about["features"].to_dict("records")}
    OPEN[view.token] = fresh
