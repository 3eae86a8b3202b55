"""The commands of docs/scaling.md exist with their options; those that care for the data work as they stand there."""

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


@pytest.mark.sqlite_only
def test_every_command_of_the_scaling_page_exists_with_its_options(cacapp: Callable[..., Any]) -> None:
    shown = re.findall(r"^cacapp ([a-z][^\n#]*)", "\n".join(re.findall(r"^```.*?^```", PAGE.read_text(), re.S | re.M)), re.M)
    assert len(shown) > 6
    for line in shown:
        words = line.split()
        ended = cacapp(*words[: 2 if words[0] in ("runs", "db") else 1], "--help")
        assert ended.code == 0, line
        assert [o for o in re.findall(r"(?<![\w-])--[a-z][a-z-]*", line) if o not in ended.out] == [], line
