"""Fixtures of the tests of runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cacapp.simulation import write_slide
from cacapp.simulation.samples import SAMPLE_MODEL


@pytest.fixture(scope="session")
def tiny_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two frames of 128 x 128 px and one nucleus each, which are segmented in no time; to read only."""
    folder = tmp_path_factory.mktemp("slides") / "tiny"
    write_slide(folder, SAMPLE_MODEL, frames=2, seed=7, height_px=128, width_px=128, nuclei=1, kinds=[{"normal": 1}] * 2)
    return folder


@pytest.fixture
def frames(small_slide: Path, tmp_path: Path) -> Path:
    """A folder with the small slide's two frames, to be damaged."""
    return Path(shutil.copytree(small_slide, tmp_path / "in"))
