"""A stand-in for SEEM that fills in the plugin's own template, and speaks the protocol in another process."""

import sys
from pathlib import Path

import pytest
from cacapp_seem.segmenter import Seem


@pytest.fixture(scope="session")
def server() -> Path:
    return Path(__file__).with_name("stand_in.py")


@pytest.fixture
def seem(server: Path) -> Seem:
    return Seem(python=sys.executable, server=str(server), timeout_s=30)
