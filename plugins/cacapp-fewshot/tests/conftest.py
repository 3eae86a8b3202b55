"""A simulated frame as a file, and boxes that a person might have drawn on it."""

from __future__ import annotations

import pytest
from drawings import Drawn, draw


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Three boxes on a frame."""
    return draw(tmp_path_factory.mktemp("examples"), 1, 3)


@pytest.fixture(scope="session")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Another frame, nothing of which is shown."""
    return draw(tmp_path_factory.mktemp("unseen"), 7, 1)
