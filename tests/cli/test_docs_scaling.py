"""The commands of docs/scaling.md that care for the data, as they stand there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


@pytest.mark.sqlite_only
def test_the_commands_for_the_care_of_the_data_work(counted: Callable[..., Any], postgres: Any) -> None:
    section = PAGE.read_text().split("## Care of the data")[1].split("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert {tuple(command[1:3]) for command in commands} == {("db", name) for name in ("check", "backup", "prune", "copy")}
    name = postgres.create()
    for program, *args in commands:
        assert program == "cacapp"
        ended = counted(*(postgres.url(name) if arg.startswith("postgresql://") else arg for arg in args))
        assert ended.code == 0, ended.err
    postgres.drop(name)
