"""Fixtures of the tests of the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def batch(tmp_path: Path, small_slide: Path) -> Path:
    """A folder with one good frame, good.ome.tif."""
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(small_slide / "frame00.ome.tif", folder / "good.ome.tif")
    return folder
