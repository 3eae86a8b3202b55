"""The digest of the code that counts: what changes it and what does not."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cacapp.runs import counting_code
from cacapp.runs.counting_code import ROOTS, canonical, code_digest, counting_modules

CODE = '''
"""A module."""
LIMIT = 3.0
"""A limit."""
def width(values, *, scale=1):
    """Return the width."""
    if scale > LIMIT:  # far
        return [v * scale for v in values]
    return f"{scale:.{len(values)}f} of {LIMIT!r}"
'''


def of(code: str) -> str:
    return canonical(ast.parse(code))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# far", "# a long way off"),
        ('"""A module."""', ""),
        ('"""A limit."""', '"""The largest scale."""'),
        ("Return the width", "Measure the width"),
        ("def width(values, *, scale=1):", "def width(\n    values,\n    *,\n    scale=1,\n):"),
        ("[v * scale for v in values]", "[\n            (v * scale) for v in values\n        ]"),
        ("LIMIT = 3.0", "LIMIT = 3.00"),
    ],
)
def test_comments_docstrings_and_layout_do_not_change_the_code(old: str, new: str) -> None:
    assert old in CODE
    assert of(CODE.replace(old, new)) == of(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("3.0", "3.1"),
        ("3.0", "3"),
        ("scale > LIMIT", "scale >= LIMIT"),
        ("scale=1", "scale=None"),
        (" of ", " in "),
        ("    return f", "        return f"),
    ],
)
def test_a_changed_constant_operator_default_text_or_block_is_other_code(old: str, new: str) -> None:
    assert old in CODE
    assert of(CODE.replace(old, new)) != of(CODE)


def test_an_f_string_reads_the_same_in_every_python() -> None:
    assert of('x = f"a{b:.{c}f}" "d" f"{e!r}"') == (
        "Module(body=[Assign(targets=[Name(id='x',)]value=JoinedStr(values=['a',FormattedValue(value=Name(id='b',)conversion=-1,"
        "format_spec=JoinedStr(values=['.',FormattedValue(value=Name(id='c',)conversion=-1,)'f',]))'d',"
        "FormattedValue(value=Name(id='e',)conversion=114,)]))])"
    )


def test_every_module_that_counting_imports_is_covered_and_none_that_stores_or_schedules() -> None:
    code = f"import sys, {', '.join(ROOTS)}; print(*(n for n, m in sys.modules.items() if n.startswith('cacapp.') and m.__file__))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    packages = {name for name in loaded if any(other.startswith(f"{name}.") for other in loaded)}
    assert set(loaded) - packages <= set(counting_modules())
    for name in counting_modules():
        assert name.split(".")[1] in ("fish", "arrays", "algorithms", "api", "types", "scene", "exceptions"), name


def test_packages_of_the_counting_code_are_empty() -> None:
    folders = {counting_code.PACKAGE.joinpath(*name.split(".")[1:-1]) for name in counting_modules()} - {counting_code.PACKAGE}
    for folder in folders:
        assert of((folder / "__init__.py").read_text()) == "Module()", folder


def test_one_changed_constant_anywhere_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = code_digest.__wrapped__  # past the cache
    today = digest()
    copy = tmp_path / "cacapp"
    shutil.copytree(counting_code.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.toml", "*.html", "*.js"))
    monkeypatch.setattr(counting_code, "PACKAGE", copy)
    assert digest() == today
    for file, old, new in (
        ("fish/doubt/two_in_one.py", "SEAM_PERCENTILE = 93", "SEAM_PERCENTILE = 94"),
        ("arrays/chromatic.py", "MIN_NUCLEI = ", "MIN_NUCLEI = 1 + "),
        ("algorithms/log.py", "RING_POINTS = 16", "RING_POINTS = 17"),
        ("fish/overlap.py", "FALSE_ALARMS = 0.01", "FALSE_ALARMS = 0.02"),
    ):
        text = (copy / file).read_text()
        assert old in text
        (copy / file).write_text(text.replace(old, new))
        assert digest() != today, file
        (copy / file).write_text(f"# a comment\n{text}")
        assert digest() == today, file
