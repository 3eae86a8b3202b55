"""A malicious capsule is refused in one line; nothing is written outside its folder, nothing exceeds the limits, nothing is run."""

from __future__ import annotations

import io
import json
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.steps.capsule.conftest import capsule, read_members, with_manifest, write_members

__all__ = ["capsule"]

Run = Callable[..., Any]
Members = dict[str, bytes]


def there(folder: Path) -> set[Path]:
    """All files but those SQLite keeps beside a database and removes when it closes it."""
    return {p for p in folder.rglob("*") if not p.name.startswith("cacapp.db-")}


def refused(cacapp: Run, path: str, folder: Path) -> str:
    before = there(folder)
    ended = cacapp("runs", "replay", path)
    assert ended.code == 2
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ")
    assert there(folder) == before
    return str(line)


ESCAPES = ("../escaped.txt", "/tmp/escaped.txt", "..\\escaped.txt", "segment/../../escaped.txt", "C:\\escaped.txt", "a/b/c.parquet", "x\ny")


@pytest.mark.parametrize("name", ESCAPES)
def test_a_member_with_a_name_of_its_own_is_refused_even_if_the_manifest_lists_it(
    cacapp: Run, capsule: Path, tmp_path: Path, name: str
) -> None:
    write_members(tmp_path / "bad.zip", {**read_members(capsule), name: b"out of the folder"})
    assert "does not belong in a capsule" in refused(cacapp, "bad.zip", tmp_path)
    assert not (tmp_path.parent / "escaped.txt").exists()
    assert not Path("/tmp/escaped.txt").exists()


def test_a_link_in_place_of_a_member_is_refused(cacapp: Run, capsule: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        for name, raw in read_members(capsule).items():
            info = zipfile.ZipInfo(name)
            if name == "frames.json":
                info.external_attr, raw = (stat.S_IFLNK | 0o777) << 16, b"/etc/passwd"
            archive.writestr(info, raw)
    assert "'frames.json' is twice there, a link" in refused(cacapp, "bad.zip", tmp_path)


def test_a_member_that_comes_twice_is_refused(cacapp: Run, capsule: Path, tmp_path: Path) -> None:
    write_members(tmp_path / "bad.zip", read_members(capsule))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "bad.zip", "a") as archive:
        archive.writestr("frames.json", b"[]")
    assert "'frames.json' is twice there" in refused(cacapp, "bad.zip", tmp_path)


def test_a_member_that_changed_or_is_missing_is_named(cacapp: Run, capsule: Path, tmp_path: Path) -> None:
    members = read_members(capsule)
    write_members(tmp_path / "changed.zip", members | {"frames.json": members["frames.json"] + b" "}, honest=False)
    assert "frames.json is not what the manifest says" in refused(cacapp, "changed.zip", tmp_path)
    write_members(tmp_path / "short.zip", {n: raw for n, raw in members.items() if n != "count/calls.parquet"}, honest=False)
    assert "'count/calls.parquet' is missing" in refused(cacapp, "short.zip", tmp_path)


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.9, 0.999])
def test_a_truncated_capsule_is_refused(cacapp: Run, capsule: Path, tmp_path: Path, part: float) -> None:
    content = capsule.read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: int(part * len(content))])
    assert "cut.zip" in refused(cacapp, "cut.zip", tmp_path)


def test_every_flipped_byte_is_noticed_or_changes_nothing(capsule: Path, tmp_path: Path) -> None:
    import random

    from cacapp.exceptions import CacappError
    from cacapp.steps.capsule.archive import read_capsule

    content = capsule.read_bytes()
    whole = read_capsule(capsule)[1]
    draw, lines = random.Random(5), list[str]()
    for _ in range(300):
        changed = bytearray(content)
        changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        (tmp_path / "x.zip").write_bytes(changed)
        try:
            read = read_capsule(tmp_path / "x.zip")[1]
        except CacappError as error:
            lines.append(str(error))
        else:
            assert read == whole  # a date or an attribute of the archive itself
    assert len(lines) > 200
    assert [line for line in lines if "\n" in line] == []


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda m: m.update(version=2), "a capsule of version 2, this cacapp reads 1"),
        (lambda m: m.update(format="other"), "is not a capsule"),
        (lambda m: m.update(runs=[]), "manifest.json: runs"),
        (lambda m: m.update(runs=m["runs"][::-1]), "runs count, segment"),
        (lambda m: m["runs"][0].update(command="rm -rf /"), "command"),
        (lambda m: m["runs"][0].update(step="train"), "step"),
        (lambda m: m["runs"][0].pop("seed"), "seed"),
        (lambda m: m["runs"][1].update(assay_toml="not = [toml"), "not valid TOML"),
        (lambda m: m["runs"][1].update(assay_toml=None), "cannot be replayed"),
        (lambda m: m["runs"][0].update(algorithms=[]), "cannot be replayed"),
    ],
)
def test_a_manifest_that_says_other_than_a_capsules_is_one_line(
    cacapp: Run, capsule: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], Any], says: str
) -> None:
    write_members(tmp_path / "bad.zip", with_manifest(read_members(capsule), edit))
    assert says in refused(cacapp, "bad.zip", tmp_path)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + bytes(60)])
def test_a_file_that_is_not_a_capsule_is_refused(cacapp: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    assert "x.zip" in refused(cacapp, "x.zip", tmp_path)
    assert "y.zip" in refused(cacapp, "y.zip", tmp_path)
    assert "error" in refused(cacapp, ".", tmp_path)


@pytest.mark.parametrize("raw", [b"[" * 200_000, b"{}", b"[]", b"\xff\xfe", b"null"])
def test_json_that_is_no_manifest_is_refused(cacapp: Run, capsule: Path, tmp_path: Path, raw: bytes) -> None:
    write_members(tmp_path / "bad.zip", read_members(capsule) | {"manifest.json": raw}, honest=False)
    assert "manifest.json" in refused(cacapp, "bad.zip", tmp_path)


LIMITED = """
import resource, sys
from cacapp.cli.app import run_command
import pyarrow.parquet, torch, cacapp.steps.capsule.replay, cacapp.cli.execute
from cacapp.steps.capsule import archive
archive.MAX_JSON_BYTES = 16 << 20  # less than it is, so that a member beyond it is made in a second
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
code = run_command(["runs", "replay", sys.argv[1]])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
sys.exit(code)
"""


def grown_mb(path: Path) -> tuple[int, str]:
    """Memory that reading a capsule took, MB, and what it said."""
    ended = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    return int(ended.stdout.splitlines()[-1]), line


@pytest.mark.slow
def test_a_member_that_unpacks_beyond_the_limit_is_stopped(capsule: Path, tmp_path: Path) -> None:
    members = read_members(capsule) | {"segment/ledger.json": b" " * (256 << 20)}
    path = write_members(tmp_path / "bomb.zip", members)
    assert path.stat().st_size < 4 << 20
    grown, line = grown_mb(path)
    assert "segment/ledger.json unpacks to more than 16 MB" in line
    assert grown < 200


@pytest.mark.slow
def test_a_table_that_unpacks_beyond_the_limit_is_stopped(capsule: Path, tmp_path: Path) -> None:
    members = read_members(capsule)
    schema = parquet.read_schema(io.BytesIO(members["segment/verdicts.parquet"]))
    text = pa.array(["x" * 100_000] * 2000)
    sink = io.BytesIO()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for _ in range(20):
            zeros = pa.array([0] * len(text), pa.int64())
            writer.write_table(pa.table({"frame": text, "label": zeros, "filter": text, "reason": text}, schema=schema))
    path = write_members(tmp_path / "bomb.zip", members | {"segment/verdicts.parquet": sink.getvalue()})
    assert path.stat().st_size < 20 << 20
    grown, line = grown_mb(path)
    assert "segment/verdicts.parquet unpacks to more than" in line
    assert grown < 4096


def test_tables_with_other_columns_are_refused(cacapp: Run, capsule: Path, tmp_path: Path) -> None:
    members = read_members(capsule)
    for table in (pa.table({"frame": ["a"]}), pa.table({})):
        sink = io.BytesIO()
        parquet.write_table(table, sink)
        write_members(tmp_path / "bad.zip", members | {"segment/cells.parquet": sink.getvalue()})
        assert "segment/cells.parquet" in refused(cacapp, "bad.zip", tmp_path)
    write_members(tmp_path / "bad.zip", members | {"segment/cells.parquet": b"PAR1 is not enough PAR1"})
    assert "segment/cells.parquet cannot be read" in refused(cacapp, "bad.zip", tmp_path)


@pytest.mark.slow
def test_masks_that_do_not_decode_are_one_line(cacapp: Run, capsule: Path, tmp_path: Path) -> None:
    from tests.steps.capsule.conftest import with_table

    def burst(rows: list[dict[str, Any]]) -> None:
        rows[0].update(bbox_w_px=2**40, bbox_h_px=2**20, mask=b"\xff" * 40)

    write_members(tmp_path / "bad.zip", with_table(read_members(capsule), "segment/cells.parquet", burst))
    ended = cacapp("runs", "replay", "bad.zip")
    assert ended.code == 2
    assert "a stored mask of" in ended.lines("error")[0]


def test_the_files_a_capsule_names_are_only_ever_hashed(cacapp: Run, capsule: Path, tmp_path: Path) -> None:
    members = read_members(capsule)
    frames = json.loads(members["frames.json"])
    for frame in frames:
        for channel in frame["channels"]:
            channel["uri"] = f"$(touch {tmp_path}/pwned); `touch {tmp_path}/pwned` | /etc/passwd"
    write_members(tmp_path / "bad.zip", members | {"frames.json": json.dumps(frames).encode()})
    refused(cacapp, "bad.zip", tmp_path)
    assert not (tmp_path / "pwned").exists()
