"""Which tests run on which database, and the markers that `make test-fast` chooses by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

KINDS = ("sqlite", "postgresql")
ON_BOTH = ("db", "engine", "runs", "results", "steps", "cli", "review")
"""Folders whose tests run once for each kind of database they use."""

NEEDS = {"browser": {"browser"}, "postgres": {"postgres"}, "training": {"taught"}}
"""The fixtures that show that a test needs what the marker says."""
SLOW_CLAIM = "a_whole_frame_fits_in_memory"
"""The claim of the contract suite that takes seconds for any algorithm."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=(*KINDS, "both"), default="both", help=f"kind of database for tests/{{{','.join(ON_BOTH)}}}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that use a record on SQLite and on PostgreSQL; on SQLite alone where they are marked so."""
    if "database_kind" not in metafunc.fixturenames or "database_kind" in _parametrized(metafunc):
        return
    asked: str = metafunc.config.getoption("--database")
    marked = {mark.name for mark in metafunc.definition.iter_markers()}
    if _folder(metafunc.definition) not in ON_BOTH or "sqlite_only" in marked:
        kinds: tuple[str, ...] = KINDS[:1]
    else:
        kinds = KINDS if asked == "both" else (asked,)
    metafunc.parametrize("database_kind", kinds)


@pytest.hookimpl(tryfirst=True)  # before pytest selects by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with what it needs, as its folder, its fixtures and its parameters show; put whole commands first."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if _folder(item) == "e2e":
            item.add_marker("e2e")
        if SLOW_CLAIM in item.name:
            item.add_marker("slow")
        for marker, of in NEEDS.items():
            if fixtures & of:
                item.add_marker(marker)
        if "postgresql" in [p for p in parameters if isinstance(p, str)]:
            item.add_marker("postgres")
    items.sort(key=lambda item: _folder(item) != "e2e")  # the longest first, or one process works on them alone in the end


def _folder(item: pytest.Item) -> str:
    """The folder of tests/ that the test is in."""
    return item.path.relative_to(Path(__file__).parent).parts[0]


def _parametrized(metafunc: pytest.Metafunc) -> set[str]:
    return {name for mark in metafunc.definition.iter_markers("parametrize") for name in _names(mark.args[0])}


def _names(given: str | Sequence[str]) -> list[str]:
    return [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)
