"""Two runs of one database, nucleus by nucleus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacapp.arrays import rle
from cacapp.steps.capsule.differences import Nucleus, differences, match_nuclei

Run = Callable[..., Any]


def square(label: int, x: int, y: int, side: int = 10, **said: Any) -> Nucleus:
    return Nucleus(label, (x, y, side, side), rle.encode(np.ones((side, side), bool)), None, **said)


def test_a_nucleus_is_matched_by_its_pixels_not_its_number() -> None:
    a = [square(1, 0, 0), square(2, 20, 0), square(3, 40, 0)]
    b = [square(1, 40, 0), square(2, 0, 0), square(3, 21, 0)]
    assert sorted(match_nuclei(a, b)) == [(0, 1, 1.0), (1, 2, 90 / 110), (2, 0, 1.0)]
    (moved,) = differences("f", a, b)
    assert (moved.label_a, moved.label_b, round(moved.iou, 3), dict(moved.what)) == (2, 3, 0.818, {"mask": (100, 100)})


def test_masks_that_share_less_than_half_are_two_nuclei() -> None:
    found = differences("f", [square(1, 0, 0)], [square(1, 4, 0)])
    assert [(d.label_a, d.label_b, *d.what) for d in found] == [(1, None, "only in A"), (None, 1, "only in B")]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.permutations(range(8)), st.sets(st.integers(0, 7)))
def test_any_order_gives_the_same_pairs_and_every_nucleus_comes_once(order: list[int], gone: set[int]) -> None:
    a = [square(i + 1, 7 * i, 3 * (i % 2)) for i in range(8)]  # neighbours overlap
    b = [a[i] for i in order if i not in gone]
    pairs = match_nuclei(a, b)
    assert sorted(i for i, _, _ in pairs if i is not None) == list(range(8))
    assert sorted(j for _, j, _ in pairs if j is not None) == list(range(len(b)))
    assert {i for i, j, _ in pairs if j is None} == gone
    assert all(a[i] is b[j] for i, j, _ in pairs if i is not None and j is not None)


def test_counts_calls_and_dots_are_distinguished() -> None:
    a = square(1, 0, 0, dots=((1.0,),), counts={"red": 2, "gold": 2}, call={"class": "normal", "is_cac": False})
    b = square(1, 0, 0, dots=((1.1,),), counts={"red": 3, "gold": 2}, call={"class": "gain", "is_cac": False})
    (one,) = differences("f", [a], [b])
    assert one.what == {
        "dots": (1, 1),
        "count": ({"red": 2, "gold": 2}, {"red": 3, "gold": 2}),
        "call": ({"class": "normal"}, {"class": "gain"}),
    }


def test_rivals_are_compared_by_the_nuclei_they_are_not_by_their_labels() -> None:
    a = [square(1, 0, 0, rivals={("red", 0): 2, ("red", 1): None}), square(2, 20, 0, rivals={})]
    same = [square(7, 20, 0, rivals={}), square(9, 0, 0, rivals={("red", 0): 7, ("red", 1): None})]
    assert differences("f", a, same) == []
    other = [same[0], square(9, 0, 0, rivals={("red", 0): None, ("red", 1): None})]
    (one,) = differences("f", a, other)
    assert one.what == {"rivals": ({"red 0": "nucleus 2"}, {"red 0": None})}
    unknown = [square(7, 20, 0), square(9, 0, 0)]
    assert differences("f", a, unknown) == []


def test_a_run_done_again_is_the_same_run(counted: Run) -> None:
    assert counted("segment", "--segmenter", "coarse", "--force").code == 0
    assert counted("count", "--force").code == 0
    for a, b in ((1, 3), (2, 4), (2, 2)):
        ended = counted("runs", "compare", a, b)
        assert ended.code == 0, ended.out
        assert ended.out.startswith("Same: ")


@pytest.mark.slow
def test_other_settings_are_named_and_so_are_the_nuclei_they_change(counted: Run) -> None:
    assert counted("count", "--set", "min_snr=9").code == 0
    ended = counted("runs", "compare", 2, 3, "--json")
    assert ended.code == 1
    found = ended.json
    assert ("count", "log, min_snr") in {(s["step"], s["name"]) for s in found["settings"]}
    assert {s["step"] for s in found["settings"]} == {"count"}
    assert found["summary"]["dots"] == found["nuclei"]["different"] > 0
    assert found["summary"]["mask"] == found["summary"]["verdict"] == 0
    shown = counted("runs", "compare", 2, 3, "--limit", 2)
    assert shown.code == 1
    assert "Settings of runs 2 and 3 that differ" in shown.out
    assert shown.out.count("frame0") == 2
    assert f"and {found['nuclei']['different'] - 2} more" in shown.out


def test_two_segmenters_are_compared_by_their_masks(counted: Run) -> None:
    assert counted("segment", "--segmenter", "dense").code == 0
    ended = counted("runs", "compare", 1, 3, "--json")
    assert ended.code == 1
    found = ended.json
    assert found["step"] == "segment"
    assert found["summary"]["mask"] > 0
    assert all(0.5 <= d["iou"] <= 1 for d in found["differences"] if "mask" in d["what"])


def test_runs_that_cannot_be_compared_are_refused_in_one_line(counted: Run, tmp_path: Any, small_slide: Any) -> None:
    import shutil

    other = tmp_path / "other"
    other.mkdir()
    content = (small_slide / "frame00.ome.tif").read_bytes()
    shutil.copy(small_slide / "frame00.ome.tif", other / "x.ome.tif")
    (other / "x.ome.tif").write_bytes(content + b"\0")
    who = ("--patient", "P2", "--slide", "S2", "--blood-volume-ul", 1)
    assert counted("ingest", other, *who, "--same-pixels", "a test").code == 0
    assert counted("segment", "S2", "--segmenter", "coarse").code == 0
    for a, b, says in ((1, 2, "compare two runs of one step"), (1, 9, "there is no run 9"), (1, 3, "share no frame")):
        ended = counted("runs", "compare", a, b)
        assert ended.code == 2
        (line,) = ended.err.splitlines()
        assert says in line
