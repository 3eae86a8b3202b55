"""A hook that is undocumented or untested does not pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacapp import hookspecs

HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("cacapp_"))
TESTS = list((Path(__file__).parent / "host").glob("*.py"))


def test_there_are_hooks() -> None:
    assert len(HOOKS) >= 4


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_says_what_goes_in_and_what_comes_out(hook: str) -> None:
    text = getattr(hookspecs, hook).__doc__ or ""
    assert " in" in text
    assert text.strip().endswith("out.")


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_named_in_the_hosts_tests(hook: str) -> None:
    assert any(hook in path.read_text(encoding="utf-8") for path in TESTS)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_collects_and_never_lets_one_plugin_win(hook: str) -> None:
    assert not getattr(hookspecs, hook).cacapp_spec["firstresult"]
