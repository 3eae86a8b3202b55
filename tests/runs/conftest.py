"""What tests of the runs share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def frames(small_slide: Path, tmp_path: Path) -> Path:
    """A folder with the small slide's two frames, to be damaged."""
    return Path(shutil.copytree(small_slide, tmp_path / "in"))
