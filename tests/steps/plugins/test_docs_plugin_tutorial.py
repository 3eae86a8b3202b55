"""docs/plugin-tutorial.md is walked as a new user would: every block runs, in order; at its end there is a row of the benchmark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab import ROOT, Lab

PAGE = (ROOT / "docs" / "plugin-tutorial.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str, str]] = re.findall(r'```(\w+)(?: title="([^"]+)")?\n(.*?)```', PAGE, re.S)

OWN_CODE_LINES = 60


def test_own_code_is_short() -> None:
    lines = [line for kind, _, body in BLOCKS if kind == "python" for line in body.splitlines() if line.strip()]
    assert 0 < len(lines) < OWN_CODE_LINES


def test_every_block_is_run_or_written() -> None:
    assert {kind for kind, _, _ in BLOCKS} == {"bash", "python"}
    assert PAGE.count("```") == 2 * len(BLOCKS)
    assert all(title for kind, title, _ in BLOCKS if kind == "python")


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_a_new_user_gets_from_nothing_to_a_row_of_the_benchmark(lab: Lab) -> None:
    (lab.folder / "sample_slides").symlink_to(ROOT / "sample_slides")
    said = ""
    for kind, title, body in BLOCKS:
        if kind == "python":
            assert (lab.folder / Path(title).parent).is_dir(), title
            (lab.folder / title).write_text(body, encoding="utf-8")
        else:
            said = lab.run(body).stdout
    assert "acme-splits" not in said  # kept out, in the last block
    table = (lab.folder / "compared" / "benchmark.csv").read_text().splitlines()
    rows = {line.split(",")[0]: line for line in table}
    assert "segmenter-acme-splits" in rows, table
    columns = table[0].split(",")
    value = float(rows["segmenter-acme-splits"].split(",")[next(n for n, c in enumerate(columns) if "ap50" in c.lower() or "AP@0.5" in c)])
    assert value > 0.75
