"""Corrections in the layers become reviews: as the review application would have written them, once, and never over another's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from napari_cacapp.reader import read
from napari_cacapp.writer import write_reviews

from cacapp.db.engine.session import open_database
from cacapp.db.review.readings import reviews
from cacapp.exceptions import CacappError, UsageError
from cacapp.steps.review.accounts import add_account
from cacapp.steps.review.decide import Action, decide

Layers = list[Any]


def rows_of(record: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """(reviewer, kind, state after) of every review."""
    from sqlalchemy import text

    db = open_database(record)
    with db.reading() as session:
        runs = [r for (r,) in session.execute(text("SELECT id FROM run WHERE step = 'count'"))]
        return [(r.reviewer, r.kind, dict(r.after)) for r in reviews(session, runs)]


def changed(layers: Layers, name: str, change: Callable[[Any, pd.DataFrame], tuple[Any, pd.DataFrame]]) -> Layers:
    """The layers with one of them changed, as napari hands them to a writer."""
    out = []
    for data, about, kind in layers:
        if about["name"] == name:
            data, features = change(np.array(data), about["features"].copy())
            about = about | {"features": features}
        out.append((data, about, kind))
    return out


def with_class(layers: Layers, row: int, name: str, reason: str = "", decided: bool = True) -> Layers:
    def change(data: Any, features: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
        features.loc[row, "class"] = name or features.loc[row, "class"]
        features.loc[row, "reason"] = reason
        features.loc[row, "decided"] = decided
        return data, features

    return changed(layers, "S1 cells", change)


def row_of(layers: Layers, name: str) -> int:
    features = next(about["features"] for _, about, _ in layers if about["name"] == "S1 cells")
    return int(features.index[features["class"] == name][0])


def test_nothing_changed_is_nothing_written(record: Path) -> None:
    assert write_reviews(str(record), read(str(record))) == [str(record)]
    assert rows_of(record) == []


def test_a_class_is_a_review_and_saved_once(record: Path) -> None:
    layers = read(str(record))
    row = row_of(layers, "cac")
    again = with_class(layers, row, "normal", "looks fine")
    write_reviews(str(record), again)
    write_reviews(str(record), again)
    [(reviewer, kind, after)] = rows_of(record)
    assert (reviewer, kind, after["class"], after["is_cac"]) == ("rita", "class", "normal", False)


def test_accepting_a_comment_and_a_rejection(record: Path) -> None:
    layers = read(str(record))
    cac, gain, normal = (row_of(layers, name) for name in ("cac", "gain", "normal"))
    layers = with_class(with_class(with_class(layers, cac, ""), gain, "not evaluable", "folded"), normal, "", "a nice one", decided=False)
    write_reviews(str(record), layers)
    write_reviews(str(record), layers)
    assert sorted(kind for _, kind, _ in rows_of(record)) == ["accept", "comment", "not_evaluable"]
    [after] = [after for _, kind, after in rows_of(record) if kind == "not_evaluable"]
    assert after["exclusion_reason"] == "folded"


def test_a_signal_taken_away_and_one_drawn_change_the_counts(record: Path) -> None:
    layers = read(str(record))
    before = next(about["features"] for _, about, _ in layers if about["name"] == "S1 cells").set_index("cell_id")

    def take_first(data: Any, features: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
        return data[1:], features.iloc[1:].reset_index(drop=True)

    [red] = [layer for layer in layers if layer[1]["name"] == "S1 red signals"]
    cell_id, place = int(red[1]["features"].loc[0, "cell_id"]), red[0][0]
    write_reviews(str(record), changed(layers, "S1 red signals", take_first))
    [(_, kind, after)] = rows_of(record)
    assert (kind, after["counts"]["red"]) == ("signal_removed", before.loc[cell_id, "red"] - 1)

    again = read(str(record))
    assert next(about["features"] for _, about, _ in again if about["name"] == "S1 cells").set_index("cell_id").loc[cell_id, "red"] == (
        before.loc[cell_id, "red"] - 1
    )
    new = place + np.array([0, 4, 3])

    def draw(data: Any, features: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
        row = pd.DataFrame([{"cell_id": 0, "number": -1, "snr": 0.0}])
        return np.vstack([data, new]), pd.concat([features, row], ignore_index=True)

    drawn = changed(again, "S1 red signals", draw)
    write_reviews(str(record), drawn)
    write_reviews(str(record), drawn)
    kinds = [(kind, after["counts"]["red"]) for _, kind, after in rows_of(record)]
    assert kinds == [("signal_removed", before.loc[cell_id, "red"] - 1), ("signal_added", before.loc[cell_id, "red"])]
    assert rows_of(record)[-1][2]["added"][0][:3] == ["red", *np.round(new[1:], 1).tolist()]


def test_a_removed_dot_drawn_again_is_that_dot(record: Path) -> None:
    layers = read(str(record))
    [gold] = [layer for layer in layers if layer[1]["name"] == "S1 gold signals"]
    place = gold[0][0]
    without = changed(layers, "S1 gold signals", lambda d, f: (d[1:], f.iloc[1:].reset_index(drop=True)))
    write_reviews(str(record), without)
    nudged = place + np.array([0, 1, 0])
    back = changed(read(str(record)), "S1 gold signals", lambda d, f: (np.vstack([d, nudged]), pd.concat([f, f.tail(1)])))
    write_reviews(str(record), back)
    write_reviews(str(record), back)
    assert [kind for _, kind, _ in rows_of(record)] == ["signal_removed", "signal_added"]
    assert rows_of(record)[-1][2]["removed"] == rows_of(record)[-1][2]["added"] == [], "as the software had it"


def test_a_signal_outside_all_nuclei_saves_nothing(record: Path) -> None:
    layers = read(str(record))
    stack = np.asarray(next(data for data, about, _ in layers if about["name"] == "S1 nuclei"))
    f, y, x = np.argwhere(stack == 0)[0]
    wrong = changed(with_class(layers, row_of(layers, "cac"), "normal"), "S1 aqua signals", lambda d, t: (np.vstack([d, [f, y, x]]), t))
    with pytest.raises(UsageError, match="lies in no nucleus"):
        write_reviews(str(record), wrong)
    assert rows_of(record) == []


def test_a_decision_made_meanwhile_is_not_written_over(record: Path) -> None:
    layers = read(str(record))
    features = next(about["features"] for _, about, _ in layers if about["name"] == "S1 cells")
    cac, gain = row_of(layers, "cac"), row_of(layers, "gain")
    cell_id = int(features.loc[cac, "cell_id"])
    db = open_database(record)
    from sqlalchemy import text

    with db.reading() as session:
        run_id = session.execute(text("SELECT MAX(id) FROM run WHERE step = 'count'")).scalar_one()
    decide(db, "paula", cell_id, Action("accept"), run_id=run_id, seen=0)
    with pytest.raises(CacappError, match=rf"1 reviews saved. Not saved, cell {cell_id}: .*paula"):
        write_reviews(str(record), with_class(with_class(layers, cac, "normal"), gain, "normal"))
    assert [(who, kind) for who, kind, _ in rows_of(record)] == [("paula", "accept"), ("rita", "class")]


@pytest.mark.parametrize(("role", "may"), [("reviewer", True), ("pathologist", True), ("viewer", False), ("admin", False)])
def test_only_accounts_that_may_decide_do(record: Path, role: str, may: bool) -> None:
    add_account(open_database(record), "rita", role, None)
    layers = read(str(record))
    change = with_class(layers, row_of(layers, "cac"), "normal")
    if may:
        write_reviews(str(record), change)
    else:
        with pytest.raises(UsageError, match="rita"):
            write_reviews(str(record), change)
    assert len(rows_of(record)) == may


def test_an_unknown_account_and_another_record_are_refused(record: Path, tmp_path: Path) -> None:
    layers = with_class(read(str(record)), 0, "not evaluable", "why not")
    with pytest.raises(UsageError, match="not the record"):
        write_reviews(str(tmp_path / "other.db"), layers)
    add_account(open_database(record), "paula", "pathologist", None)
    with pytest.raises(UsageError, match="no such account"):
        write_reviews(str(record), layers)
    with pytest.raises(UsageError, match="one slide"):
        write_reviews(str(record), [(np.zeros((1, 3)), {"name": "mine", "metadata": {}}, "points")])
    assert rows_of(record) == []
