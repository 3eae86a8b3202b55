"""What a user can do wrong ends in one clear line, the right exit code, and nothing half-written; in a batch the good go on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacapp.db.session import database_url, migration_connection
from cacapp.types import CHANNELS, Array

Run = Callable[..., Any]
Save = Callable[..., Path]

WHO = ("--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100")
OK, FAILED, USAGE, PARTLY = 0, 1, 2, 3


def rows(table: str, db: str | None = None) -> int:
    """In a database, by default the one the commands use."""
    with migration_connection(database_url(db)) as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


def no_rows(*tables: str) -> bool:
    here = database_url(None)
    return ("://" not in here and not Path(here).exists()) or all(
        rows(table) == 0 for table in tables or ("patient", "slide", "frame", "run")
    )


@pytest.fixture
def batch(tmp_path: Path, small_slide: Path) -> Path:
    """A folder with one good frame, good.ome.tif."""
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(small_slide / "frame00.ome.tif", folder / "good.ome.tif")
    return folder


def truncated(path: Path, planes: Array, save: Save) -> None:
    save(path, planes)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_FILES: dict[str, tuple[Callable[[Path, Array, Save], object], str]] = {
    "truncated": (truncated, "truncated"),
    "zero bytes": (lambda path, planes, save: path.write_bytes(b""), "empty"),
    "text named .tif": (lambda path, planes, save: path.write_text("patient;slide\n"), "not a TIFF"),
    "four channels": (lambda path, planes, save: save(path, planes[:4], CHANNELS[:4]), "red"),
    "two that resolve to DAPI": (
        lambda path, planes, save: save(path, np.concatenate([planes, planes[:1]]), (*CHANNELS, "Hoechst")),
        "--channels",
    ),
    "float": (lambda path, planes, save: save(path, planes.astype(np.float32)), "float32"),
    "NaN": (lambda path, planes, save: save(path, np.full_like(planes, np.nan, np.float32)), "NaN"),
}


@pytest.mark.parametrize(("make", "says"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_that_is_no_frame_is_refused_and_the_good_ones_go_on(
    cacapp: Run, batch: Path, planes: Array, save_frame: Save, make: Callable[..., object], says: str
) -> None:
    make(batch / "bad.ome.tif", planes, save_frame)
    ended = cacapp("ingest", batch, *WHO)
    assert ended.code == PARTLY
    (line,) = ended.lines("error")
    assert "bad.ome.tif" in line
    assert says.lower() in line.lower()
    assert (rows("slide"), rows("frame"), rows("channel")) == (1, 1, 5)


@pytest.mark.parametrize(("make", "says"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_slide_of_bad_files_alone_leaves_nothing(
    cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save, make: Callable[..., object], says: str
) -> None:
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / "bad.ome.tif", planes, save_frame)
    ended = cacapp("run", tmp_path / "in", *WHO)
    assert ended.code == FAILED
    assert ended.out == ""
    refused, failed = ended.lines("error")
    assert says.lower() in refused.lower()
    assert "S1" in failed
    assert no_rows()
    assert not Path("reports").exists()


def test_a_sixth_channel_is_refused_until_the_user_says_which_to_use(cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save) -> None:
    path = save_frame(tmp_path / "six.ome.tif", np.concatenate([planes, planes[:1]]), (*CHANNELS, "Brightfield"))
    ended = cacapp("ingest", path, *WHO)
    assert ended.code == FAILED
    assert "extra channel Brightfield" in ended.err
    assert "--channels DAPI=DAPI," in ended.err
    assert cacapp("ingest", path, *WHO, "--channels", "DAPI=DAPI").code == OK
    assert rows("channel") == 5


def test_channels_in_another_order_give_the_same_cells(cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save) -> None:
    order = [3, 0, 4, 2, 1]
    save_frame(tmp_path / "a" / "f.ome.tif", planes)
    save_frame(tmp_path / "b" / "f.ome.tif", planes[order], [CHANNELS[i] for i in order])
    found = []
    for name in "ab":
        assert cacapp("run", tmp_path / name, *WHO, "--db", f"{name}.db", "--no-report").code == OK
        records = cacapp("cells", "--db", f"{name}.db", "--json").json
        found.append([{k: v for k, v in r.items() if not k.endswith("_id")} for r in records])
    assert len(found[0]) >= 9
    assert found[0] == found[1]


def test_channel_names_nobody_knows_are_refused_with_the_flag_that_settles_it(
    cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save
) -> None:
    path = save_frame(tmp_path / "f.ome.tif", planes, ["w1", "w2", "w3", "w4", "w5"])
    ended = cacapp("ingest", path, *WHO)
    assert ended.code == FAILED
    assert "w1, w2, w3, w4, w5" in ended.err
    assert "--channels" in ended.err
    assert cacapp("ingest", path, *WHO, "--channels", "DAPI=w1,aqua=w2,green=w3,gold=w4,red=#4").code == OK


def test_a_laboratorys_own_channel_names_go_into_the_assay_file_once_and_for_all(
    cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save
) -> None:
    # Cy3 means gold by default; this microscope calls red so, and Cy5, which no default knows, gold.
    path = save_frame(tmp_path / "f.ome.tif", planes, ["DAPI", "aqua", "green", "Cy5", "Cy3"])
    assert cacapp("ingest", path, *WHO).code == FAILED
    text = (resources.files("cacapp.fish") / "assays" / "katz-4color.toml").read_text()
    own = tmp_path / "own.toml"
    own.write_text(text.replace("[signals]", '[aliases]\nred = ["Cy3"]\ngold = ["Cy5"]\n\n[signals]', 1))
    assert cacapp("run", path, *WHO, "--assay", own, "--no-report", "--db", "own.db").code == OK
    save_frame(tmp_path / "plain" / "f.ome.tif", planes)
    assert cacapp("run", tmp_path / "plain", *WHO, "--no-report", "--db", "plain.db").code == OK
    counts = [[[r[c] for c in CHANNELS[1:]] for r in cacapp("cells", "--db", d, "--json").json] for d in ("own.db", "plain.db")]
    assert counts[0] == counts[1]


def test_eight_bits_are_enough(cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save) -> None:
    eight = np.clip(planes.astype(float) / planes.max(axis=(1, 2), keepdims=True) * 255, 0, 255).astype(np.uint8)
    save_frame(tmp_path / "in" / "f.ome.tif", eight)
    assert cacapp("run", tmp_path / "in", *WHO, "--no-report").code == OK
    assert len(cacapp("cells", "--json").json) >= 8


@pytest.mark.parametrize("value", [0, 65535])
def test_a_frame_without_contrast_has_no_cells_and_says_so(
    cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save, value: int
) -> None:
    save_frame(tmp_path / "in" / "flat.ome.tif", np.full_like(planes, value))
    ended = cacapp("run", tmp_path / "in", *WHO)
    assert ended.code == OK
    assert any("no nuclei" in line for line in ended.lines("warning"))
    (patient,) = cacapp("patients", "--json").json
    assert (patient["cells"], patient["cacs"], patient["verdict"]) == (0, 0, "insufficient")


def test_saturated_nuclei_are_said(cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save) -> None:
    bright = planes.copy()
    bright[0] = np.where(planes[0] > np.percentile(planes[0], 90), 65535, planes[0])
    save_frame(tmp_path / "in" / "f.ome.tif", bright)
    assert any("saturated" in line for line in cacapp("run", tmp_path / "in", *WHO, "--no-report").lines("warning"))


def test_frames_of_different_size_are_each_analysed_at_their_own(cacapp: Run, batch: Path, planes: Array, save_frame: Save) -> None:
    save_frame(batch / "small.ome.tif", planes[:, :300, :250])
    ended = cacapp("run", batch, *WHO, "--no-report")
    assert ended.code == OK
    assert any("different size" in line and "250 x 300" in line for line in ended.lines("warning"))
    assert {r["frame"] for r in cacapp("cells", "--json").json} == {"good", "small"}


def test_without_a_pixel_size_the_frame_is_its_own_measure(cacapp: Run, tmp_path: Path, planes: Array, save_frame: Save) -> None:
    save_frame(tmp_path / "in" / "f.ome.tif", planes, pixel_size_um=None)
    ended = cacapp("run", tmp_path / "in", *WHO)
    assert ended.code == OK
    assert any("no pixel size" in line for line in ended.lines("warning"))
    assert len(cacapp("cells", "--json").json) >= 8


@pytest.mark.parametrize(
    ("spoil", "says"), [(Path.unlink, "missing"), (lambda path: path.write_bytes(b"II*\0other"), "changed since ingest")]
)
def test_a_file_gone_or_changed_since_ingest_costs_its_frame_only(
    cacapp: Run, batch: Path, small_slide: Path, spoil: Callable[[Path], object], says: str
) -> None:
    shutil.copy(small_slide / "frame01.ome.tif", batch / "other.ome.tif")
    assert cacapp("ingest", batch, *WHO).code == OK
    spoil(batch / "other.ome.tif")
    segmented = cacapp("segment")
    assert segmented.code == PARTLY
    (line,) = segmented.lines("error")
    assert "other" in line
    assert says in line
    assert cacapp("count").code == OK
    assert {r["frame"] for r in cacapp("cells", "--json").json} == {"good"}
    (patient,) = cacapp("patients", "--json").json
    assert (patient["frames"], patient["frames_failed"]) == (2, 1)


def test_a_slide_whose_files_are_all_gone_fails_and_can_be_done_later(cacapp: Run, batch: Path) -> None:
    assert cacapp("ingest", batch, *WHO).code == OK
    batch.rename(batch.with_name("away"))
    ended = cacapp("segment")
    assert ended.code == FAILED
    assert "missing" in ended.err
    assert rows("cell") == 0
    batch.with_name("away").rename(batch)
    assert cacapp("segment").code == OK
    assert rows("run") == 1


def test_a_file_that_went_between_segment_and_count(cacapp: Run, batch: Path) -> None:
    cacapp("ingest", batch, *WHO)
    cacapp("segment")
    (batch / "good.ome.tif").unlink()
    ended = cacapp("count")
    assert ended.code == FAILED
    assert "missing" in ended.err
    assert rows("cell_call") == 0


def test_the_same_file_again_is_known(cacapp: Run, batch: Path) -> None:
    cacapp("ingest", batch, *WHO)
    ended = cacapp("ingest", batch, *WHO)
    assert ended.code == OK
    assert "1 already there" in ended.out
    assert rows("frame") == 1


def test_a_frame_of_another_slide_is_refused(cacapp: Run, batch: Path, small_slide: Path) -> None:
    cacapp("ingest", batch, *WHO)
    other = ("--patient", "P1", "--slide", "S2", "--blood-volume-ul", "100")
    ended = cacapp("ingest", batch, *other)
    assert ended.code == FAILED
    assert "of slide S1 already" in ended.err
    assert rows("slide") == 1
    shutil.copy(small_slide / "frame01.ome.tif", batch / "new.ome.tif")
    assert cacapp("ingest", batch, *other).code == PARTLY
    assert (rows("slide"), rows("frame")) == (2, 2)


def test_a_slide_of_another_patient_is_refused_and_the_patient_not_made(cacapp: Run, batch: Path) -> None:
    cacapp("ingest", batch, *WHO)
    ended = cacapp("ingest", batch, "--patient", "P2", "--slide", "S1", "--blood-volume-ul", "100")
    assert ended.code == FAILED
    (line,) = ended.lines("error")
    assert "belongs to patient P1" in line
    assert rows("patient") == 1


HEADER = "patient,slide,path,blood_volume_ul"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{HEADER},volume\nP1,S1,in,100,3\n", "unknown column 'volume'"),
        ("patient,slide,path\nP1,S1,in\n", "'blood_volume_ul' is missing"),
        (f"{HEADER}\nP1,S1,in,-5\n", "above 0"),
        (f"{HEADER}\nP1,S1,in,much\n", "must be a number"),
        (f"{HEADER}\nP1,S1,in,nan\n", "above 0"),
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
def test_asking_where_there_is_no_database_makes_none(cacapp: Run, args: tuple[str, ...]) -> None:
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
