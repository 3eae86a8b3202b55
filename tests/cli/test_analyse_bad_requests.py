"""Wrong manifests, requests and databases end in one clear line and the right exit code, and nothing is written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.outcomes import FAILED, OK, PARTLY, USAGE, WHO, no_rows, rows

Run = Callable[..., Any]
Save = Callable[..., Path]


HEADER = "patient,slide,path,blood_volume_ul"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{HEADER},volume\nP1,S1,in,100,3\n", "unknown column 'volume'"),
        ("patient,slide,path\nP1,S1,in\n", "'blood_volume_ul' is missing"),
        (f"{HEADER}\nP1,S1,in,-5\n", "above 0"),
        (f"{HEADER}\nP1,S1,in,much\n", "must be a number"),
        (f"{HEADER}\nP1,S1,in,nan\n", "must be a number"),
        (f"{HEADER}\nP1,S1,nowhere,100\n", "nowhere"),
        (f"{HEADER}\nP1,S1,in,100\nP2,S1,in,100\n", "listed twice"),
        (f"{HEADER}\n,S1,in,100\n", "patient is empty"),
        (f"{HEADER}\nP1,S1,in,100,more\n", "more values than columns"),
        (f"{HEADER}\n", "no slides"),
        (f"{HEADER},projection\nP1,S1,in,100,sideways\n", "sideways"),
        (f"{HEADER},channels\nP1,S1,in,100,DAPI\n", "DAPI"),
        ("\x00\xff", "manifest"),
    ],
)
def test_a_manifest_with_a_mistake_is_refused_as_a_whole(cacapp: Run, batch: Path, text: str, says: str) -> None:
    Path("slides.csv").write_text(text, encoding="latin-1")
    for command in ("ingest", "run"):
        ended = cacapp(command, "--manifest", "slides.csv")
        assert ended.code == USAGE
        (line,) = ended.lines("error")
        assert says in line
        assert no_rows()


@pytest.mark.parametrize("value", ["", "unknown"])
def test_an_unknown_volume_is_accepted_with_a_warning_and_gives_no_rate(cacapp: Run, batch: Path, value: str) -> None:
    Path("slides.csv").write_text(f"{HEADER}\nP1,S1,in,{value}\n")
    ended = cacapp("run", "--manifest", "slides.csv", "--min-evaluable", 5, "--no-report")
    assert ended.code == OK
    assert any("volume unknown" in line for line in ended.lines("warning"))
    (patient,) = cacapp("patients", "--json").json
    assert (patient["verdict"], patient["cacs_per_100ul"]) == ("undetermined", None)


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_one_bad_slide_of_a_manifest_does_not_lose_the_others(cacapp: Run, batch: Path, small_slide: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.tif").write_text("no image")
    (tmp_path / "more").mkdir()
    shutil.copy(small_slide / "frame01.ome.tif", tmp_path / "more")
    Path("slides.csv").write_text(f"{HEADER}\nP1,S1,in,100\nP2,S2,bad,100\nP3,S3,more,100\n")
    ingested = cacapp("ingest", "--manifest", "slides.csv", "--json", "--db", "ingest.db")
    assert ingested.code == PARTLY
    assert [r["slide"] for r in ingested.json if r["error"]] == ["S2"]
    ended = cacapp("run", "--manifest", "slides.csv")
    assert ended.code == PARTLY
    assert any("S2" in line for line in ended.lines("error"))
    assert [p["patient"] for p in cacapp("patients", "--json").json] == ["P1", "P3"]
    assert sorted(p.name for p in Path("reports").iterdir()) == ["P1.html", "P3.html", "index.html"]


def test_a_manifest_of_bad_slides_alone_fails(cacapp: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    Path("slides.csv").write_text(f"{HEADER}\nP1,S1,a,100\nP2,S2,b,100\n")
    ended = cacapp("run", "--manifest", "slides.csv")
    assert ended.code == FAILED
    assert no_rows()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("ingest", "in", "--patient", "P1", "--slide", "S1", "--blood-volume-ul", "-5"), "above 0"),
        (("ingest", "in", "--patient", "P1", "--slide", "S1"), "--blood-volume-ul"),
        (("ingest", "nowhere", *WHO), "there is no nowhere"),
        (("ingest", "in", *WHO, "--manifest", "slides.csv"), "exclude each other"),
        (("ingest", "in", *WHO, "--channels", "blue=DAPI"), "blue"),
        (("ingest", "in", *WHO, "--pattern", "{frame}.tif"), "--pattern"),
        (("ingest", "in", *WHO, "--projection", "sideways"), "sideways"),
        (("run", "in", *WHO, "--prompter", "watershd"), "watershed"),
        (("run", "in", *WHO, "--segmenter", "nothing"), "nothing"),
        (("run", "in", *WHO, "--filter", "nothing"), "nothing"),
        (("run", "in", *WHO, "--detector", "nothing"), "nothing"),
        (("run", "in", *WHO, "--set", "no_such=1"), "no_such"),
        (("run", "in", *WHO, "--set", "noise_factor=-1"), "noise_factor"),
        (("run", "in", *WHO, "--assay", "nowhere.toml"), "nowhere.toml"),
        (("run", "in", *WHO, "--min-evaluable", "0"), "--min-evaluable"),
        (("run", "in", *WHO, "--wrong"), "--wrong"),
        (("runn",), "run"),
        (("runs", "show", "x"), "runs show --help"),
    ],
)
def test_a_wrong_request_is_one_line_and_nothing_is_written(cacapp: Run, batch: Path, args: tuple[str, ...], says: str) -> None:
    ended = cacapp(*args)
    assert ended.code == USAGE
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ")
    assert says in line
    assert no_rows()


@pytest.mark.parametrize(
    "args",
    [
        ("segment", "S9"),
        ("count", "S9"),
        ("segment", "--patient", "P9"),
        ("patients", "--patient", "P9"),
        ("report", "--patient", "P9"),
        ("cells", "--slide", "S9"),
        ("cells", "--patient", "P9"),
        ("export", "out", "--slide", "S9"),
        ("runs", "show", "99"),
        ("runs", "list", "--slide", "S9"),
    ],
)
def test_a_name_that_is_not_in_the_database_is_a_usage_error_that_says_it(cacapp: Run, batch: Path, args: tuple[str, ...]) -> None:
    cacapp("ingest", batch, *WHO)
    ended = cacapp(*args)
    assert ended.code == USAGE
    (line,) = ended.err.splitlines()
    assert "9" in line


def test_counting_before_segmenting_says_what_to_do_first(cacapp: Run, batch: Path, small_slide: Path, tmp_path: Path) -> None:
    cacapp("ingest", batch, *WHO)
    ended = cacapp("count")
    assert ended.code == FAILED
    assert "cacapp segment S1" in ended.err
    cacapp("segment")
    (tmp_path / "more").mkdir()
    shutil.copy(small_slide / "frame01.ome.tif", tmp_path / "more")
    cacapp("ingest", tmp_path / "more", "--patient", "P2", "--slide", "S2", "--blood-volume-ul", "100")
    left_out = cacapp("count")
    assert left_out.code == OK
    assert any("S2" in line for line in left_out.lines("warning"))
    assert cacapp("count", "S1", "S2").code == FAILED


@pytest.mark.sqlite_only
@pytest.mark.parametrize("content", [b"this is no database, but it is long enough to look at", b"SQLite format 3\0" + b"\xff" * 600])
def test_a_file_that_is_no_database_stays_as_it_is(cacapp: Run, batch: Path, content: bytes) -> None:
    Path("cacapp.db").write_bytes(content)
    for args in (("ingest", batch, *WHO), ("patients",), ("db", "upgrade"), ("db", "status")):
        ended = cacapp(*args)
        assert ended.code == FAILED
        (line,) = ended.err.splitlines()
        assert "cacapp.db" in line
        assert Path("cacapp.db").read_bytes() == content


@pytest.mark.sqlite_only
def test_another_programs_database_is_left_alone(cacapp: Run, batch: Path) -> None:
    with sqlite3.connect("cacapp.db") as connection:
        connection.execute("CREATE TABLE patient (name TEXT)")
    ended = cacapp("ingest", batch, *WHO)
    assert ended.code == FAILED
    assert len(ended.err.splitlines()) == 1
    assert rows("patient") == 0


@pytest.mark.sqlite_only
@pytest.mark.parametrize("args", [("patients",), ("segment",), ("cells",), ("runs", "list"), ("export", "out"), ("report",)])
def test_a_query_without_a_database_creates_none(cacapp: Run, args: tuple[str, ...]) -> None:
    ended = cacapp(*args)
    assert ended.code == FAILED
    assert "no such database" in ended.err
    assert not Path("cacapp.db").exists()


def bound(args: list[str]) -> list[str]:
    """The command such that permissions bind it, root or not."""
    if os.geteuid() != 0:
        return args
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root without setpriv: permissions bind nobody")
    return [setpriv, "--bounding-set", "-dac_override,-dac_read_search", *args]


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_a_folder_that_may_not_be_written_is_one_line(batch: Path, tmp_path: Path, cacapp: Run) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    assert cacapp("run", batch, *WHO, "--no-report").code == OK
    db = str(tmp_path / "cacapp.db")
    locked.chmod(0o500)
    code = "import sys; from cacapp.cli.app import run_command; sys.exit(sum(run_command(a.split('|')) for a in sys.argv[1:]))"
    commands = [
        f"db|upgrade|--db|{locked / 'new.db'}",
        f"export|{locked / 'out'}|--db|{db}",
        f"cells|--format|csv|--out|{locked / 'cells.csv'}|--db|{db}",
        f"report|--format|html|--out|{locked / 'reports'}|--db|{db}",
        f"simulate|{locked / 'slides'}|--frames|1|--nuclei|0|--height|128|--width|128",
    ]
    try:
        ended = subprocess.run(bound([sys.executable, "-c", code, *commands]), capture_output=True, text=True, check=False)
        assert list(locked.iterdir()) == []
    finally:
        locked.chmod(0o700)
    lines = ended.stderr.splitlines()
    assert ended.returncode == len(commands), ended.stderr
    assert len(lines) == len(commands), ended.stderr
    assert all(line.startswith("error: ") and str(locked) in line for line in lines), ended.stderr
