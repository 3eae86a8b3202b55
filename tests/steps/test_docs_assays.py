"""Every command of docs/assays.md runs, and the page names what there is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cacapp.db.engine.session import open_database
from cacapp.fish.assay.quality import Quality
from cacapp.fish.assay.read import builtin_assays
from cacapp.fish.evaluability import REASONS

DOCS = Path(__file__).parents[2] / "docs" / "assays.md"
Run = Callable[..., Any]


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_every_command_of_the_page_runs(counted: Run, put_slide: Run, small_slide: Path, tmp_path: Path) -> None:
    database = open_database(tmp_path / "cacapp.db")
    for donor, slide in (("D1", "C1"), ("D2", "C2")):
        put_slide(database, donor, slide, [[2, 2, 2, 2]] * 500)
    database.dispose()
    (example,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "lab.toml").write_text(example)
    shutil.copy(small_slide / "truth.csv", tmp_path / "truth.csv")
    page = DOCS.read_text().replace(f"```toml\n{example}```\n", "")
    commands = [line for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 12
    for line in commands:
        program, *args = line.split()
        assert program == "cacapp"
        ended = counted(*args)
        assert ended.code == 0, (line, ended.err)
        assert ended.lines("error") == [], line
    assert (tmp_path / "compared" / "worst.png").is_file()


def test_the_page_names_every_assay_reason_and_measure() -> None:
    text = DOCS.read_text()
    assert [name for name in (*builtin_assays(), *REASONS) if f"`{name}`" not in text] == []
    measures = [name.partition("_")[2] for name in Quality.model_fields if name not in ("min_nuclei", "min_dapi_sharpness")]
    assert [m for m in measures if m not in text] == []
