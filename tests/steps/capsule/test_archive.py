"""A run becomes one file that holds all that is needed to replay it, and the same run gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cacapp.db.engine.session import open_database
from cacapp.fish.assay.read import load_assay
from cacapp.steps.capsule.archive import read_capsule
from cacapp.steps.capsule.recorded_runs import read_recorded_runs
from tests.steps.capsule.conftest import read_members

Run = Callable[..., Any]


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes_in_any_process(counted: Run, capsule: Path, tmp_path: Path) -> None:
    code = "import sys; from cacapp.cli.app import run_command; sys.exit(run_command(sys.argv[1:]))"
    again = tmp_path / "again.zip"
    subprocess.run([sys.executable, "-c", code, "runs", "capsule", "2", str(again), "--quiet"], cwd=tmp_path, check=True)
    assert again.read_bytes() == capsule.read_bytes()
    shown = counted("runs", "capsule", 2, "third.zip", "--json").json
    assert shown["sha256"] == hashlib.sha256(capsule.read_bytes()).hexdigest()
    assert shown["runs"] == [{"run": 1, "step": "segment"}, {"run": 2, "step": "count"}]


def test_it_holds_inputs_settings_versions_weights_and_assay(capsule: Path, small_slide: Path) -> None:
    members = read_members(capsule)
    manifest = json.loads(members["manifest.json"])
    assert {n: m["sha256"] for n, m in manifest["members"].items()} == {
        n: hashlib.sha256(raw).hexdigest() for n, raw in members.items() if n != "manifest.json"
    }
    segment, count = manifest["runs"]
    assert [one["name"] for one in segment["algorithms"]] == ["watershed", "coarse", "single-cell"]
    assert all(one["distribution"] == "cacapp" and one["version"] == metadata.version("cacapp") for one in segment["algorithms"])
    assert segment["environment"]["packages"]["opencv-python"] == metadata.version("opencv-python")
    assert count["assay_toml"] == load_assay("katz-4color").toml()
    assert (manifest["slide"], manifest["blood_volume_ul"]) == ("S1", 100.0)
    for frame in json.loads(members["frames.json"]):
        path = small_slide / f"{frame['name']}.ome.tif"
        assert frame["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert [c["name"] for c in frame["channels"]] == ["DAPI", "aqua", "green", "gold", "red"]


def test_the_patients_code_is_not_in_it(capsule: Path, counted: Run, ask: Callable[..., Any]) -> None:
    ask("UPDATE patient SET code = 'XPSEUDONYMX'")
    counted("runs", "capsule", 2, "other.zip")
    assert all(b"XPSEUDONYMX" not in raw for raw in read_members(Path("other.zip")).values())
    assert Path("other.zip").read_bytes() == capsule.read_bytes()


def test_a_capsule_read_back_equals_the_database(capsule: Path, record_url: str, ask: Callable[..., Any]) -> None:
    database = open_database(record_url)
    with database.reading() as session:
        stored = read_recorded_runs(session, 2)
    database.dispose()
    back, _ = read_capsule(capsule)
    assert (back.slide, back.frames, back.blood_volume_ul) == (stored.slide, stored.frames, stored.blood_volume_ul)
    for mine, theirs in zip(back.runs(), stored.runs(), strict=True):
        assert (mine.record, mine.ledger) == (theirs.record, theirs.ledger)
        assert {name: table.to_pylist() for name, table in mine.tables.items()} == {
            name: table.to_pylist() for name, table in theirs.tables.items()
        }
    for part, content, table in (("segment", "cells", "cell"), ("count", "signals", "signal"), ("count", "counts", "signal_count")):
        ((n,),) = ask(f"SELECT count(*) FROM {table}")
        tables = back.segment.tables if part == "segment" else back.count.tables if back.count else {}
        assert tables[content].num_rows == n > 0


def test_weights_are_named_with_their_source_and_hash(counted: Run) -> None:
    assert counted("segment", "--segmenter", "dense", "--force").code == 0
    assert counted("runs", "capsule", 3, "dense.zip").code == 0
    (weights,) = json.loads(read_members(Path("dense.zip"))["manifest.json"])["weights"]
    assert weights["name"] == "dense-nuclei"
    assert weights["algorithm"] == "dense"
    assert weights["licence"]
    assert weights["sha256"] == counted("runs", "show", 3, "--json").json["weights_sha256"]


def test_a_run_without_cells_or_an_unwritable_file_is_reported_in_one_line(counted: Run, tmp_path: Path, ask: Callable[..., Any]) -> None:
    assert "there is no run 9" in counted("runs", "capsule", 9, "x.zip").lines("error")[0]
    (tmp_path / "file").write_text("")
    ended = counted("runs", "capsule", 2, "file/x.zip")
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    ask("UPDATE run SET status = 'running' WHERE id = 2")
    ended = counted("runs", "capsule", 2, "x.zip")
    assert ended.code == 2
    assert "run 2 is not finished" in ended.err
    assert not Path("x.zip").exists()


def test_a_capsule_is_a_plain_file_of_plain_files(capsule: Path) -> None:
    import zipfile

    with zipfile.ZipFile(capsule) as archive:
        assert archive.testzip() is None
        assert all(stat.S_ISREG(info.external_attr >> 16) for info in archive.infolist())
