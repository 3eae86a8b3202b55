"""A file that is not a database of cacapp is refused in one line and left unchanged, and nothing is created where nothing may be."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from cacapp.db.engine.session import open_database
from cacapp.exceptions import UsageError
from tests.db.engine.refusals import refused


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("content", [b"patient,slide\n", b"x" * 5000, b"II*\0" + bytes(600)])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "slides.csv"
    path.write_bytes(content)
    before = _tree(tmp_path)
    assert "no cacapp database" in refused(path)
    assert _tree(tmp_path) == before


def test_a_database_cut_off_after_its_header_isrefused(tmp_path: Path, empty_record: Path) -> None:
    path = tmp_path / "cut.db"
    path.write_bytes(empty_record.read_bytes()[:5000])
    message = refused(path)
    assert str(path) in message


@pytest.mark.parametrize(
    "other", ["CREATE TABLE photo (id)", "CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('a1b2')"]
)
def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path, other: str) -> None:
    path = tmp_path / "photos.db"
    with sqlite3.connect(path) as raw:
        raw.executescript(other)
    raw.close()
    before = _tree(tmp_path)
    assert "another program" in refused(path)
    assert _tree(tmp_path) == before


def test_places_where_no_file_can_be_made_are_refused_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = _tree(tmp_path)
    assert "no folder" in refused(tmp_path / "missing" / "a.db")
    assert "no folder" in refused(tmp_path / "file" / "a.db")
    assert "is a folder" in refused(tmp_path)
    assert "cannot be made" in refused("/proc/a.db")
    assert "no such database" in refused(tmp_path / "a.db", create=False)
    assert _tree(tmp_path) == before


def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not bind root; /proc stands for it in the test above")
    tmp_path.chmod(0o500)
    assert "cannot be made" in refused(tmp_path / "a.db")


def test_a_database_in_memory_isrefused() -> None:
    with pytest.raises(UsageError, match="memory"):
        open_database("sqlite://")
