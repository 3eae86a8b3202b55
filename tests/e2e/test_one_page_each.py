"""Two patients never share a page, however alike their codes are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.sqlite_only
@pytest.mark.parametrize("codes", [("P/1", "P_1"), ("p1", "P1")])
def test_each_patient_has_a_page_and_the_index_links_it(
    cacapp: Callable[..., Any], small_slide: Path, tmp_path: Path, codes: tuple[str, str]
) -> None:
    for number, code in enumerate(codes):
        folder = tmp_path / f"in{number}"
        folder.mkdir()
        (folder / "f.ome.tif").write_bytes((small_slide / f"frame0{number}.ome.tif").read_bytes())
        run = (
            "run",
            folder,
            "--patient",
            code,
            "--slide",
            f"S{number}",
            "--blood-volume-ul",
            "100",
            "--segmenter",
            "coarse",
            "--no-report",
        )
        assert cacapp(*run).code == 0
    assert cacapp("report", "--format", "html", "--out", tmp_path / "reports").code == 0
    pages = {p.name.lower(): p.read_text() for p in (tmp_path / "reports").glob("*.html") if p.name != "index.html"}
    assert len(pages) == 2
    index = (tmp_path / "reports" / "index.html").read_text()
    for code in codes:
        (page,) = [name for name, text in pages.items() if f"<h1>{code}" in text or f"Patient {code}" in text or f">{code}<" in text]
        assert page in index.lower()
