"""A run keeps the software it worked with."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib import metadata
from typing import Any

Run = Callable[..., Any]


def test_every_run_keeps_the_versions_it_worked_with(counted: Run) -> None:
    for run in counted("runs", "list", "--json").json:
        kept = run["algorithms"]["environment"]
        assert kept["python"] == platform.python_version()
        assert kept["packages"]["torch"] == metadata.version("torch")
        assert kept["packages"]["numpy"] == metadata.version("numpy")
