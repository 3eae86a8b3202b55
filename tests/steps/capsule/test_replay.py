"""A replay says what is not the same here, repeats the runs by the normal steps, and names each nucleus that differs."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from cacapp.arrays import rle
from cacapp.runs.counting_code import code_digest
from tests.steps.capsule.conftest import read_members, with_manifest, with_table, write_members
from tests.web_store import WebStore

pytestmark = pytest.mark.slow
Run = Callable[..., Any]


def test_a_replay_of_an_undisturbed_capsule_finds_no_difference_and_leaves_nothing(
    cacapp: Run, capsule: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    ended = cacapp("runs", "replay", "out.zip")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("Same: count of slide S1, 2 frames: 20 nuclei in the capsule (A), 20 in the replay (B); none differs")
    found = cacapp("runs", "replay", "out.zip", "--json").json
    assert (found["same"], found["settings"], found["differences"], found["frames"]) == (True, [], [], 2)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_segment_run_alone_is_replayed_too(counted: Run) -> None:
    counted("runs", "capsule", 1, "one.zip")
    found = counted("runs", "replay", "one.zip", "--json", "--workers", 2).json
    assert (found["step"], found["same"]) == ("segment", True)
    assert list(found["summary"]) == ["only in A", "only in B", "mask", "verdict"]


def test_the_replays_database_is_kept_where_the_user_says_and_nowhere_else(cacapp: Run, capsule: Path, record_url: str) -> None:
    assert cacapp("runs", "replay", "out.zip", "--db", "kept.db").code == 0
    assert [r["step"] for r in cacapp("runs", "list", "--db", "kept.db", "--json").json] == ["count", "segment"]
    for db in ("kept.db", record_url):
        ended = cacapp("runs", "replay", "out.zip", "--db", db)
        assert ended.code == 2
        assert "holds slides already" in ended.err


def test_images_are_found_by_their_hash_whatever_they_are_called(cacapp: Run, capsule: Path, small_slide: Path, tmp_path: Path) -> None:
    gone = with_frames(read_members(capsule), "/gone")
    write_members(tmp_path / "gone.zip", gone)
    ended = cacapp("runs", "replay", "gone.zip")
    assert ended.code == 2
    (line,) = ended.lines("error")
    assert "2 of 2 image files are not where they were" in line
    assert "--images" in line
    moved = tmp_path / "moved" / "deep"
    moved.mkdir(parents=True)
    for i, path in enumerate(sorted(small_slide.glob("frame0?.ome.tif"))):
        shutil.copy(path, moved / f"other{1 - i}.tif")
    assert cacapp("runs", "replay", "gone.zip", "--images", tmp_path / "moved").code == 0


def test_an_image_that_changed_is_not_taken(cacapp: Run, capsule: Path, small_slide: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(small_slide, folder)
    path = folder / "frame01.ome.tif"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    ended = cacapp("runs", "replay", "out.zip", "--images", folder)
    assert ended.code == 2
    assert "1 of 2 image files are not under" in ended.err
    assert "frame01" in ended.err
    assert cacapp("runs", "replay", "out.zip", "--images", tmp_path / "nowhere").code == 2


def with_frames(members: dict[str, bytes], folder: str) -> dict[str, bytes]:
    frames = json.loads(members["frames.json"])
    for frame in frames:
        for channel in frame["channels"]:
            channel["uri"] = f"{folder}/{os.path.basename(channel['uri'])}"  # noqa: PTH119
    return members | {"frames.json": json.dumps(frames).encode()}


def shave(rows: list[dict[str, Any]]) -> None:
    """The mask of nucleus 3 of the first frame loses its first row of pixels."""
    row = rows[2]
    mask = rle.decode(row["mask"], row["bbox_h_px"], row["bbox_w_px"])
    mask[0] = False
    row["mask"] = rle.encode(mask)


def recount(rows: list[dict[str, Any]]) -> None:
    row = next(r for r in rows if r["frame"] == "frame01" and r["label"] == 5 and r["channel"] == "red")
    row["n"] += 1


def recall(rows: list[dict[str, Any]]) -> None:
    row = next(r for r in rows if r["frame"] == "frame00" and r["label"] == 1)
    row["class"], row["is_cac"] = "cac", not row["is_cac"]


def lose(rows: list[dict[str, Any]]) -> None:
    del rows[0]


@pytest.mark.parametrize(
    ("member", "edit", "kind", "where"),
    [
        ("segment/cells.parquet", shave, "mask", ("frame00", 3)),
        ("count/counts.parquet", recount, "count", ("frame01", 5)),
        ("count/calls.parquet", recall, "call", ("frame00", 1)),
        ("segment/cells.parquet", lose, "only in B", ("frame00", 1)),
    ],
)
def test_each_difference_is_named_with_its_nucleus(
    cacapp: Run, capsule: Path, tmp_path: Path, member: str, edit: Callable[..., None], kind: str, where: tuple[str, int]
) -> None:
    write_members(tmp_path / "other.zip", with_table(read_members(capsule), member, edit))
    ended = cacapp("runs", "replay", "other.zip", "--json")
    assert ended.code == 1
    found = ended.json
    (one,) = found["differences"]
    assert (one["frame"], one["label_b"]) == where
    assert list(one["what"]) == [kind]
    assert found["summary"] == {name: int(name == kind) for name in found["summary"]}
    shown = cacapp("runs", "replay", "other.zip")
    assert shown.code == 1
    assert shown.out.startswith("Different: count of slide S1")
    assert where[0] in shown.out


def test_versions_and_weights_that_differ_are_reported_before_anything_is_repeated(cacapp: Run, capsule: Path, tmp_path: Path) -> None:
    def older(manifest: dict[str, Any]) -> None:
        run = manifest["runs"][0]
        run["environment"]["packages"]["numpy"] = "1.0.0"
        run["algorithms"][1]["version"] = "0.0.1"
        run["algorithms"][1]["weights_sha256"] = "ab" * 32

    write_members(tmp_path / "old.zip", with_manifest(read_members(capsule), older))
    ended = cacapp("runs", "replay", "old.zip")
    assert ended.code == 0
    assert ended.out.index("Settings that differ from the capsule's") < ended.out.index("Same:")
    settings = cacapp("runs", "replay", "old.zip", "--json").json["settings"]
    assert {(s["name"], s["a"]) for s in settings} >= {
        ("package numpy", "1.0.0"),
        ("coarse, distribution", "cacapp 0.0.1"),
        ("coarse, SHA-256 of its weights", "ab" * 32),
    }
    assert np.__version__ in {s["b"] for s in settings}


def test_runs_from_before_versions_were_kept_are_replayed_with_a_warning(cacapp: Run, capsule: Path, tmp_path: Path) -> None:
    def before(manifest: dict[str, Any]) -> None:
        for run in manifest["runs"]:
            run["environment"] = None

    write_members(tmp_path / "old.zip", with_manifest(read_members(capsule), before))
    ended = cacapp("runs", "replay", "old.zip")
    assert ended.code == 0
    assert len(ended.lines("warning")) == 2


def test_a_capsule_of_a_version_that_did_not_record_the_counting_code_is_replayed(cacapp: Run, capsule: Path, tmp_path: Path) -> None:
    def before(manifest: dict[str, Any]) -> None:
        for run in manifest["runs"]:
            del run["environment"]["counting_code"]

    def other(manifest: dict[str, Any]) -> None:
        manifest["runs"][1]["environment"]["counting_code"] = "0" * 16

    assert code_digest()[:16] in read_members(capsule)["manifest.json"].decode()
    write_members(tmp_path / "old.zip", with_manifest(read_members(capsule), before))
    ended = cacapp("runs", "replay", "old.zip")
    assert (ended.code, ended.lines("warning")) == (0, [])
    assert "Settings that differ" not in ended.out
    write_members(tmp_path / "other.zip", with_manifest(read_members(capsule), other))
    (setting,) = cacapp("runs", "replay", "other.zip", "--json").json["settings"]
    assert (setting["step"], setting["name"], setting["a"], setting["b"]) == ("count", "counting code", "0" * 16, code_digest()[:16])


def test_an_algorithm_that_is_not_here_or_a_parameter_it_lacks_is_one_line(cacapp: Run, capsule: Path, tmp_path: Path) -> None:
    def unknown(manifest: dict[str, Any]) -> None:
        manifest["runs"][0]["algorithms"][0]["name"] = "their-prompter"

    def strange(manifest: dict[str, Any]) -> None:
        manifest["runs"][1]["algorithms"][0]["params"]["colour"] = 3

    for edit, says in ((unknown, "their-prompter"), (strange, "colour")):
        write_members(tmp_path / "x.zip", with_manifest(read_members(capsule), edit))
        ended = cacapp("runs", "replay", "x.zip", "--db", "x.db")
        assert ended.code == 2
        (line,) = ended.err.splitlines()
        assert says in line
        assert not Path("x.db").exists()


def test_weights_trained_elsewhere_are_taken_from_the_named_file_by_their_hash(counted: Run, tmp_path: Path) -> None:
    from cacapp.weights.cache import locate

    own = tmp_path / "own.safetensors"
    shutil.copy(locate("dense-nuclei"), own)
    assert counted("segment", "--segmenter", "dense", "--set", f"weights={own}", "--force").code == 0
    counted("runs", "capsule", 3, "own.zip")
    own.rename(tmp_path / "elsewhere.safetensors")
    missing = counted("runs", "replay", "own.zip")
    assert missing.code == 2
    assert "--weights" in missing.lines("error")[0]
    (tmp_path / "wrong.safetensors").write_bytes(b"x")
    wrong = counted("runs", "replay", "own.zip", "--weights", "wrong.safetensors")
    assert wrong.code == 2
    assert "another file" in wrong.lines("error")[0]
    assert counted("runs", "replay", "own.zip", "--weights", "elsewhere.safetensors").code == 0


def test_a_frame_that_failed_is_retried_and_distinguished(counted: Run, small_slide: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    shutil.copytree(small_slide, folder)
    assert counted("ingest", folder, "--patient", "P2", "--slide", "S2", "--blood-volume-ul", "1", "--db", "two.db").code == 0
    hidden = folder / "frame01.hidden"
    (folder / "frame01.ome.tif").rename(hidden)
    assert counted("segment", "--segmenter", "coarse", "--db", "two.db").code == 3
    counted("runs", "capsule", 1, "two.zip", "--db", "two.db")
    still = counted("runs", "replay", "two.zip", "--json")
    assert still.code == 0, still.err
    assert (still.json["frames"], still.json["unfinished_in_both"]) == (1, ["frame01"])
    hidden.rename(folder / "frame01.ome.tif")
    ended = counted("runs", "replay", "two.zip", "--json")
    assert ended.code == 1
    (lost,) = ended.json["frame_differences"]
    assert (lost["frame"], lost["a"], lost["b"]) == ("frame01", "quarantined", "done")
    assert "is missing" in lost["error"]


def rivals(counted: Run, ask: Callable[..., Any]) -> dict[str, bytes]:
    """The members of a capsule whose first two signals are contested, by the second nucleus and by left-out matter."""
    (cell, channel, number), (cell_2, channel_2, number_2) = ask(
        "SELECT s.cell_id, s.channel, s.number FROM signal s LEFT JOIN contested_signal c ON c.cell_id = s.cell_id AND c.run_id = s.run_id "
        "AND c.channel = s.channel AND c.number = s.number WHERE c.cell_id IS NULL ORDER BY s.cell_id, s.channel, s.number LIMIT 2"
    )
    ((other,),) = ask("SELECT max(id) FROM cell WHERE frame_id = (SELECT frame_id FROM cell WHERE id = :cell)", cell=cell)
    add = "INSERT INTO contested_signal (cell_id, run_id, channel, number, other_cell_id) VALUES (:cell, 2, :channel, :number, :other)"
    ask(add, cell=cell, channel=channel, number=number, other=other)
    ask(add, cell=cell_2, channel=channel_2, number=number_2, other=None)
    assert counted("runs", "capsule", 2, "rivals.zip").code == 0
    return read_members(Path("rivals.zip"))


def test_contested_signals_and_their_rivals_are_kept_and_compared(counted: Run, ask: Callable[..., Any]) -> None:
    members = rivals(counted, ask)
    kept = parquet.read_table(io.BytesIO(members["count/contested.parquet"])).to_pylist()
    ((n,),) = ask("SELECT count(*) FROM contested_signal")
    assert len(kept) == n >= 2
    assert any(row["other_label"] is None for row in kept)
    ended = counted("runs", "replay", "rivals.zip", "--json")
    assert ended.code == 1
    assert ended.json["summary"]["rivals"] == ended.json["nuclei"]["different"] >= 1
    assert ended.json["settings"] == []
    differences = [d["what"]["rivals"] for d in ended.json["differences"]]
    assert all(set(d["what"]) == {"rivals"} for d in ended.json["differences"])
    assert sum(len(d["a"]) for d in differences) == 2
    assert all(d["b"] == {} for d in differences)
    shown = " ".join(counted("runs", "replay", "rivals.zip").out.replace("│", " ").split())
    assert "→ not ambiguous" in shown
    assert counted("runs", "compare", 2, 2).code == 0


def test_a_capsule_from_before_rivals_were_kept_is_replayed_without_them(counted: Run, ask: Callable[..., Any]) -> None:
    members = rivals(counted, ask)
    del members["count/contested.parquet"]
    write_members(Path("old.zip"), members)
    ended = counted("runs", "replay", "old.zip", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["summary"]["rivals"] == 0


def test_addresses_in_a_capsule_are_read_only_when_the_user_says_so(cacapp: Run, capsule: Path, small_slide: Path, tmp_path: Path) -> None:
    with WebStore(small_slide) as store:
        write_members(tmp_path / "far.zip", with_frames(read_members(capsule), store.url))
        with pytest.MonkeyPatch.context() as own:
            own.setenv("CACAPP_FRAME_CACHE", str(tmp_path / "cache"))
            ended = cacapp("runs", "replay", "far.zip")
            assert ended.code == 2
            assert "--fetch" in ended.err
            assert not store.asked
            assert cacapp("runs", "replay", "far.zip", "--fetch").code == 0
            assert store.asked
