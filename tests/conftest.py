"""What all tests share: a real, empty record."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cacapp.db.session import Database, open_database


@pytest.fixture(scope="session")
def empty_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file without rows, made once; copy it."""
    path = tmp_path_factory.mktemp("record") / "empty.db"
    open_database(path).dispose()
    return path


@pytest.fixture
def database(empty_record: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty record of this test alone."""
    path = tmp_path / "cacapp.db"
    shutil.copy(empty_record, path)
    opened = open_database(path)
    yield opened
    opened.dispose()
