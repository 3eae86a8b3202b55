"""``make setup`` says in one line why a Python will not do."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("python_fits", Path(__file__).parents[1] / ".ci" / "python_fits.py")
assert spec is not None
assert spec.loader is not None
python_fits = importlib.util.module_from_spec(spec)
spec.loader.exec_module(python_fits)


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 1), (3, 13, 5), (3, 14, 0)])
def test_these_pythons_do(version: tuple[int, int, int]) -> None:
    assert python_fits.judge(version, "/usr/bin/python3", has_pip=True) == ""


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 9, 2), (3, 10, 13), (3, 15, 0)])
def test_others_are_named_with_the_way_out(version: tuple[int, int, int]) -> None:
    line = python_fits.judge(version, "/usr/bin/python3", has_pip=True)
    assert line.startswith("cacapp needs Python 3.11 to 3.14, and /usr/bin/python3 is " + ".".join(map(str, version)))
    assert "PYTHON=" in line
    assert "\n" not in line


def test_a_python_without_ensurepip_is_named() -> None:
    assert "python3-venv" in python_fits.judge((3, 13, 5), "/usr/bin/python3", has_pip=False)
