"""A page says what is known of a slide's geometry, and what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from cacapp.db.engine.session import open_database
from cacapp.db.tables import Run as RunRow
from cacapp.report.quality import SlideGeometry
from cacapp.results.geometry import geometry_of

Run = Callable[..., Any]
pytestmark = pytest.mark.sqlite_only


def geometry() -> SlideGeometry:
    with open_database(None).reading() as session:
        return geometry_of(session, session.exec(select(RunRow.id).where(RunRow.step == "count")).one())


def test_pixel_sizes_and_who_stated_them(counted: Run, ask: Callable[..., Any]) -> None:
    found = geometry()
    assert (found.slide, found.impossible) == ("S1", ())
    assert found.known[0].startswith("Pixel size 0.1")
    assert found.known[0].endswith(", as the files say.")
    ask("UPDATE frame SET pixel_size_source = 'stated by ada; the file says 6.45 x 6.45 µm'")
    assert geometry().known[0].endswith(", stated by ada; the file says 6.45 x 6.45 µm.")
    ask("UPDATE frame SET pixel_size_um = NULL, pixel_size_source = NULL")
    assert "Pixel size unknown in" in geometry().known[0]


def test_an_impossible_size_is_named_by_count_and_on_the_page(counted: Run, ask: Callable[..., Any]) -> None:
    ask("UPDATE frame SET pixel_size_um = 0.01")
    (line,) = geometry().impossible
    assert "µm wide at the pixel size of 0.01 µm; nuclei of people are 4 to 25 µm" in line
    said = " ".join(" ".join(counted("count", "S1").lines("warning")).split())
    assert f"slide S1: {line}" in said
    assert counted("report", "--format", "html", "--out", "pages", "--quiet").code == 0
    assert f"<strong>{line}</strong>" in next(Path("pages").glob("P*.html")).read_text()


def test_how_overlap_was_looked_for_and_what_stays_unknown(counted: Run, ask: Callable[..., Any]) -> None:
    ask(
        "INSERT INTO frame (slide_id, name, uri, sha256, scene, projection, height_px, width_px, dtype) "
        "SELECT slide_id, 'further', 'g.tif', 'e', '', 'none', height_px, width_px, dtype FROM frame LIMIT 1"
    )
    ask("UPDATE frame SET stage_x_um = NULL")
    line = next(line for line in geometry().known if "overlap" in line)
    assert line.startswith("Stage positions unknown: overlap was looked for by the nuclei themselves; none was found.")
    ask("UPDATE frame SET stage_x_um = 1, stage_y_um = 2")
    assert "by the stage positions and by the nuclei themselves" in next(line for line in geometry().known if "verlap" in line)


def test_the_reason_for_equal_pixels_is_shown_without_the_other_patient(counted: Run, ask: Callable[..., Any]) -> None:
    why = "has in channel DAPI the same pixels as frame a of slide S9, patient JONES; allowed by ada: control field"
    ask(f"UPDATE frame SET same_pixels = '{why}'")
    (line,) = [line for line in geometry().known if "another patient" in line]
    assert line.endswith("another patient's too; allowed by ada: control field.")
    assert "JONES" not in line
