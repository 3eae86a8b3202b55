"""Damaged image files end as refused frames in one line: no crash, no hang, no memory, nothing run, no wrong acceptance."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.fuzz.bombs import bombs
from tests.fuzz.originals import WRITERS
from tests.fuzz.run import cases, harm, run

SHORT, LONG = 200, 5000


def assert_harmless(found: list[dict[str, Any]]) -> None:
    harms = [(what, {k: v for k, v in one.items() if k != "number"}) for one in found if (what := harm(one)) is not None]
    assert harms == [], "\n".join(json.dumps(one) for one in harms[:20])


def test_a_hundred_damaged_files_of_all_formats_and_every_bomb_do_no_harm() -> None:
    found = run(SHORT, seed=1, workers=1)
    assert_harmless(found)
    ended = Counter(one["outcome"] for one in found)
    assert ended["refused"] > SHORT / 4  # the damage is real
    assert ended["same"] + ended["pixels"] > 0  # and so are the originals
    assert {one["bomb"] for one in found if "bomb" in one} == set(bombs(""))


@pytest.mark.soak
def test_five_thousand_damaged_files_do_no_harm() -> None:
    assert_harmless(run(LONG, seed=20250101, workers=2))


def test_the_long_form_damages_every_format_in_every_way_several_times() -> None:
    counts = Counter((one["original"], one["kind"]) for one in cases(LONG, 20250101) if "original" in one)
    assert {name for name, _ in counts} == set(WRITERS)
    assert min(counts.values()) >= 5
    assert cases(LONG, 1) == cases(LONG, 1) != cases(LONG, 2)


def test_the_judge_sees_harm_when_it_is_done() -> None:
    """The measure itself: a process that dies, hangs, grows or accepts what it must not is told from one that does not."""
    fine = {"outcome": "refused", "cpu_s": 0.1, "peak_mb": 200, "lines": ["f.tif: truncated"], "noise": ""}
    assert harm(fine) is None
    for change, what in (
        ({"outcome": "killed"}, "killed"),
        ({"outcome": "ran"}, "ran"),
        ({"outcome": "other"}, "wrong acceptance"),
        ({"cpu_s": 11.0}, "hang"),
        ({"peak_mb": 2100}, "memory"),
        ({"lines": ["f.tif: cannot be read (MemoryError)"]}, "memory"),
        ({"noise": "libpng warning"}, "noise"),
        ({"lines": ["a\nb"]}, "more than a line"),
    ):
        assert harm(fine | change) == what
