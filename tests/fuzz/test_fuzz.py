"""Damaged image files end as refused frames in one line: no crash, no hang, no memory, nothing run, no wrong acceptance."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.bombs import bombs
from tests.fuzz.originals import WRITERS
from tests.fuzz.run import cases, harm

LONG = 5000


def assert_harmless(found: list[dict[str, Any]]) -> None:
    harms = [(what, {k: v for k, v in one.items() if k != "number"}) for one in found if (what := harm(one)) is not None]
    assert harms == [], "\n".join(json.dumps(one) for one in harms[:20])


@pytest.mark.slow
def test_two_hundred_damaged_files_and_every_bomb_do_no_harm_by_the_command_of_the_page(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    (command,) = re.findall(r"```\n(.*?)\n```", (root / "docs" / "fuzzing.md").read_text(encoding="utf-8"), re.DOTALL)
    python, *args = command.split()
    assert python == ".venv/bin/python"
    ended = subprocess.run([sys.executable, *args, "--json", str(tmp_path / "o")], cwd=root, capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in (tmp_path / "o").read_text().splitlines()]
    assert_harmless(found)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(found) == 200
    outcomes = Counter(one["outcome"] for one in found)
    assert outcomes["refused"] > len(found) / 4  # the damage is real
    assert outcomes["same"] + outcomes["pixels"] > 0  # and so are the originals
    assert {one["bomb"] for one in found if "bomb" in one} == set(bombs(""))


def test_the_long_form_damages_every_format_in_every_way_several_times() -> None:
    counts = Counter((one["original"], one["kind"]) for one in cases(LONG, 20250101) if "original" in one)
    assert {name for name, _ in counts} == set(WRITERS)
    assert min(counts.values()) >= 5
    assert cases(LONG, 1) == cases(LONG, 1) != cases(LONG, 2)


def test_the_process_that_judges_files_reports_harm() -> None:
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
