"""The architecture page names files and folders that exist, and every package of cacapp."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:cacapp|alembic|docs|tests)/[\w./-]*)`", PAGE)))


@pytest.mark.parametrize("path", NAMED)
def test_the_page_names_what_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_page_names_every_package() -> None:
    packages = {p.parent.name for p in (ROOT / "cacapp").glob("*/__init__.py")}
    named = set(re.findall(r"`cacapp/(\w+)/`", PAGE))
    assert packages <= named
