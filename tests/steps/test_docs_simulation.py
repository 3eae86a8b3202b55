"""docs/simulation.md names every preset and kind of dot; its commands and its example run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from cacapp.simulation import SlideModel, load_preset, preset_names
from cacapp.simulation.dots import DotKind, Form

PAGE = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text(encoding="utf-8")


def test_the_page_names_every_preset_kind_and_form() -> None:
    names = [*preset_names(), *get_args(DotKind), *(form for form in get_args(Form) if form)]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_the_example_of_a_preset_inherits_from_field(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "own.toml").write_text(example, encoding="utf-8")
    model = SlideModel(**load_preset(str(tmp_path / "own.toml")).parameters)
    assert (model.nonspecific, model.spikes_per_mpx) == ((0.2, 0.6), (5.0, 50.0))


@pytest.mark.sqlite_only
def test_each_command_of_the_page_runs(cacapp: Callable[..., Any]) -> None:
    commands = [line.split()[1:] for line in PAGE.splitlines() if line.startswith("    cacapp ")]
    assert len(commands) == 3
    for args in commands:
        small = () if "--parameters" in args else ("--width", "200", "--height", "200", "--nuclei", "2")
        ended = cacapp(*args, *small)
        assert (ended.code, ended.err) == (0, ""), args
