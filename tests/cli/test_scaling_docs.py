"""Every command that docs/scaling.md shows exists, with its options."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DOC = Path(__file__).parents[2] / "docs" / "scaling.md"


@pytest.mark.sqlite_only
def test_every_command_of_the_scaling_page_exists_with_its_options(cacapp: Callable[..., Any]) -> None:
    shown = re.findall(r"^cacapp ([a-z][^\n#]*)", "\n".join(re.findall(r"^```.*?^```", DOC.read_text(), re.S | re.M)), re.M)
    assert len(shown) > 6
    for line in shown:
        words = line.split()
        ended = cacapp(*words[: 2 if words[0] in ("runs", "db") else 1], "--help")
        assert ended.code == 0, line
        assert [o for o in re.findall(r"(?<![\w-])--[a-z][a-z-]*", line) if o not in ended.out] == [], line
