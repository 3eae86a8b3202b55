"""The five sample patients, taken through the real command line once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "cacapp")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `cacapp demo`, started in the checkout, has filled: cacapp.db and reports/; and its output, printed.txt."""
    out = tmp_path_factory.mktemp("demo")
    ended = subprocess.run([*PROGRAM, "demo", "--out", str(out)], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (out / "printed.txt").write_text(ended.stdout)
    return out
