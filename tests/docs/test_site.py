"""The documentation site builds without a warning, holds every page, and asks nobody on the internet for anything."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, as `make docs` builds it; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "cacapp"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "commands.md", "algorithms.md", "plugins"))
    shutil.copytree(ROOT / "plugins", folder / "plugins", ignore=shutil.ignore_patterns("*.py", "*.toml", "__pycache__"))
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", "out"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder / "out"


@pytest.mark.slow
def test_every_page_is_in_the_navigation(site: Path) -> None:
    pages = {p.relative_to(ROOT / "docs").with_suffix("").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    nav = BeautifulSoup((site / "index.html").read_text("utf-8"), "html.parser").select(".sidebar-tree a")
    linked = {str(a["href"]).removesuffix(".html") for a in nav}
    pages = {page for page in pages if not page.startswith("plugins/")}  # left by `make docs`
    pages |= {f"plugins/{p.parent.name}" for p in (ROOT / "plugins").glob("*/pyproject.toml")}
    assert pages - linked == {"index"}
    assert {"start", "concepts", "slides", "review", "assays", "scaling", "training", "capsules", "benchmarks", "limits"} <= linked


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loaded = []
    for page in site.rglob("*.html"):
        soup = BeautifulSoup(page.read_text("utf-8"), "html.parser")
        tags = soup.select("script[src], img[src], iframe[src], link[rel=stylesheet], link[rel=preload], link[rel=icon]")
        loaded += [str(tag.get("src") or tag.get("href")) for tag in tags]
    for sheet in site.rglob("*.css"):
        loaded += re.findall(r"url\(([^)]+)\)|@import[^;]+", sheet.read_text("utf-8"))
    assert len(loaded) > 50
    assert [url for url in loaded if re.match(r"['\"]?(https?:)?//", url)] == []
