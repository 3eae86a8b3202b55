"""The examples in docstrings say what the functions give."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import cacapp

PACKAGE = Path(cacapp.__file__).parent
WITH_EXAMPLES = sorted(path for path in PACKAGE.rglob("*.py") if ">>> " in path.read_text())


@pytest.mark.sqlite_only
@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_docstring_example_gives_the_stated_result(path: Path) -> None:
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    done = doctest.testmod(importlib.import_module(name))
    assert done.attempted > 0
    assert done.failed == 0
