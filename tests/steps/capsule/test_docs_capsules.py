"""Every command of docs/capsules.md runs, and the page names every member and every kind of difference."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cacapp.db.runs.content import CONTENT
from cacapp.steps.capsule.differences import KINDS

DOCS = Path(__file__).parents[3] / "docs" / "capsules.md"
Run = Callable[..., Any]


@pytest.mark.slow
def test_every_command_of_the_page_runs(counted: Run, small_slide: Path, tmp_path: Path) -> None:
    shutil.copytree(small_slide, tmp_path / "slides" / "S01")
    assert counted("segment", "--segmenter", "coarse", "--force").code == 0
    assert counted("count", "--force").code == 0
    commands = [line for block in re.findall(r"```\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 6
    for line in commands:
        program, *args = line.split()
        assert program == "cacapp"
        ended = counted(*args)
        assert ended.code == 0, (line, ended.err)
    assert (tmp_path / "replay.db").is_file()


def test_the_page_names_every_member_and_difference() -> None:
    text = DOCS.read_text(encoding="utf-8")
    members = [f"{step}/{name}.parquet" for step, names in CONTENT.items() for name in names]
    assert [name for name in ("manifest.json", "frames.json", "segment/ledger.json", *members, *KINDS) if f"`{name}`" not in text] == []
