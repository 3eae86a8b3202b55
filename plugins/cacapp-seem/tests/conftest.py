"""A stand-in for SEEM that fills in the plugin's own template, and speaks the protocol in another process."""

import sys
from pathlib import Path

import cacapp_seem
import pytest
from cacapp_seem.segmenter import Seem


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    template = Path(cacapp_seem.__file__).with_name("template.py")
    file = tmp_path_factory.mktemp("seem") / "mine.py"
    file.write_text(Path(__file__).with_name("stand_in.py").read_text().replace("{template}", str(template)))
    return file


@pytest.fixture
def seem(server: Path) -> Seem:
    return Seem(python=sys.executable, server=str(server), timeout_s=30)
