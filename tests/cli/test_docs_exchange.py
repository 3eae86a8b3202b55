"""The commands of docs/exchange.md, as they stand there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_each_command_of_the_page_runs(cacapp: Callable[..., Any]) -> None:
    frames = sorted((ROOT / "sample_slides" / "S01").glob("*.ome.tif"))
    assert cacapp("run", *frames, "--patient", "P", "--slide", "S01", "--blood-volume-ul", "100", "--segmenter", "coarse").code == 0
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / "exchange.md").read_text(), re.DOTALL | re.MULTILINE)
    commands = [shlex.split(line, comments=True)[1:] for block in blocks for line in block.splitlines() if line.startswith("cacapp ")]
    assert len(commands) == 7
    for command in commands:
        done = cacapp(*command)
        assert done.code == 0, (command, done.err)
