"""The pages for new users show what the commands print."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def commands(page: str) -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.startswith("cacapp ")]


@pytest.mark.slow
def test_the_commands_of_the_first_page_give_what_it_shows(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sample_slides" / "S02", tmp_path / "sample_slides" / "S02")
    lines = [line for line in commands("start.md") if not line.startswith("cacapp review")]
    assert len(lines) == 5
    bin_ = Path(sys.executable).parent
    env = os.environ | {"PATH": f"{bin_}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    env.pop("CACAPP_DB", None)
    told = [subprocess.run(["bash", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, check=False) for line in lines]
    assert [t.returncode for t in told] == [0] * 5, [t.stderr for t in told]
    patients, cells = told[2].stdout, told[3].stdout
    assert "P02" in patients
    assert "increased" in patients
    assert 6 <= cells.count(" cac ") <= 8, "of eight CACs"
    assert (tmp_path / "reports" / "index.html").is_file()


@pytest.mark.slow
@pytest.mark.sqlite_only
@pytest.mark.parametrize("page", ["start.md", "slides.md", "concepts.md", "limits.md"])
def test_every_command_shown_exists_with_its_options(cacapp: Callable[..., Any], page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    shown = commands(page) + re.findall(r"`cacapp ([a-z][^`\n]*)`", text)
    assert shown
    for line in shown:
        words = line.removeprefix("cacapp ").split()
        if words[0].startswith("-"):
            continue
        grouped = {"runs", "db", "control", "plugins", "weights", "models", "assay", "users"}
        ended = cacapp(*words[: 2 if words[0] in grouped else 1], "--help")
        assert ended.code == 0, line
        told = re.sub(r"\s", "", ended.out)
        assert [o for o in re.findall(r"(?<![\w-])--[a-z][a-z-]*", line) if o not in told] == [], line
