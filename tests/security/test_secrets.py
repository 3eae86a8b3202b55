"""Secrets are neither printed nor stored; names given by others are never run or interpreted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from cacapp.db.engine.session import open_database
from cacapp.db.engine.transfer import tables
from tests.selection import KINDS

Run = Callable[..., Any]
SECRET = "hunter2-S3cret"


def everything_in(url: str) -> str:
    """All rows of a record, as text."""
    with open_database(url).reading() as session:
        return "\n".join(repr(row) for table in tables() for row in session.connection().execute(table.select()))


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_a_password_in_the_database_url_is_never_shown_or_stored(
    cacapp: Run, record_url: str, small_slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(record_url).set(password=SECRET).update_query_dict({"sslpassword": SECRET}).render_as_string(hide_password=False)
    assert SECRET in url
    monkeypatch.setenv("CACAPP_DB", url)
    who = ("--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100")
    said = ""
    for command, code in (
        (("run", small_slide, *who, "--segmenter", "coarse"), 0),
        (("count", "--force"), 0),
        (("report", "--format", "html", "--out", "pages"), 0),
        (("export", "table.csv"), 0),
        (("runs", "list", "--json"), 0),
        (("runs", "show", "2", "--json"), 0),
        (("db", "status"), 0),
        (("db", "check"), 0),
        (("db", "copy", url), 1),  # it is not empty
        (("db", "copy", url.replace("postgresql:", "nosuch:")), 2),
        (("cells", "--db", url.replace("?", "_missing?")), 1),
    ):
        ended = cacapp(*command)
        assert ended.code == code, (command, ended.err)
        said += ended.out + ended.err
    assert "postgresql://" in said  # the database is named, and without
    assert SECRET not in said
    assert SECRET not in everything_in(url)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".html" for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.slow
@pytest.mark.parametrize("database_kind", KINDS)
def test_names_are_never_run_as_sql_or_by_a_shell(cacapp: Run, small_slide: Path, tmp_path: Path) -> None:
    evil = "x'; DROP TABLE cell; --"
    folder = tmp_path / "in; touch pwned1 $(touch pwned2) `touch pwned3`"
    folder.mkdir()
    shutil.copy(small_slide / "frame00.ome.tif", folder / 'f"; DROP TABLE frame; -- $(touch pwned4) %s {0} :id.ome.tif')
    patient, slide = f"P1{evil}", f"S1$(touch pwned5){evil}"
    who = ("--patient", patient, "--slide", slide, "--blood-volume-ul", "100", "--notes", evil)
    assert cacapp("run", folder, *who, "--segmenter", "coarse", "--quiet").code == 0
    found = cacapp("cells", "--patient", patient, "--slide", slide, "--json").json
    assert {(cell["patient"], cell["slide"]) for cell in found} == {(patient, slide)}
    for option in (("--patient", evil), ("--slide", evil), ("--class", evil)):
        assert cacapp("cells", *option, "--json").out in ("", "[]\n")
    assert len(cacapp("cells", "--json").json) == len(found) > 5
    assert cacapp("db", "check").code == 0
    assert cacapp("export", "out.csv").code == 0
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("pwned")]
    backup = tmp_path / "b'; DROP TABLE cell; -- $(touch pwned6).db"
    assert cacapp("db", "backup", backup).code == 0
    assert len(cacapp("cells", "--json", "--db", backup).json) == len(found)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("pwned")]
