"""One bad frame affects no other: it is tried again, quarantined, named wherever results are shown, and done when it can be."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from cacapp.cli.console import out
from cacapp.db.engine.session import Database
from cacapp.db.runs import lease
from cacapp.frames import sha256_of
from cacapp.host import Host
from cacapp.runs.plan import SegmentPlan
from cacapp.runs.progress import Silent
from cacapp.steps.segment import segment
from tests.e2e.records import content, half_done
from tests.runs.interruptions import PLAN, WHO, Cacapp, interrupted, ledger, tell, with_database


@pytest.mark.slow
def test_a_bad_frame_is_quarantined_named_everywhere_and_done_when_it_is_mended(cacapp: Cacapp, frames: Path, tmp_path: Path) -> None:
    command = ("run", frames, *WHO, "--segmenter", "coarse", "--out", tmp_path / "reports")
    assert cacapp("ingest", frames, *WHO).code == 0
    (frames / "frame01.ome.tif").rename(tmp_path / "away.tif")
    ended = cacapp("segment", "--segmenter", "coarse", "--retries", "2")
    assert ended.code == 3
    assert ended.out.count("1 quarantined (cacapp runs retry --failed 1)") == 1
    assert [line for line in ended.lines("error") if "frame01" in line and "missing" in line]
    assert len(ended.lines("error")) == 1
    assert "succeeded with failures" in ended.err
    assert ledger(cacapp, 1) == {"frame00": ("done", 1), "frame01": ("quarantined", 3)}
    assert cacapp("runs", "show", 1, "--json").json["status"] == "succeeded with failures"
    assert "runs retry --failed 1" in cacapp("runs", "show", 1).out

    # whatever is asked later says that a frame is missing
    lacking = "slide S1: 1 of 2 frames is missing from the results (cacapp runs show 1)"
    assert lacking in cacapp("count").err
    assert lacking in cacapp("cells").err
    assert lacking in cacapp("export", tmp_path / "out").err
    with pytest.MonkeyPatch.context() as wide:
        wide.setattr(out, "_width", 160)  # a narrow terminal breaks the line; COLUMNS is not heard where it was set from the start
        assert "1 of 2 frames missing" in cacapp("patients").out
    assert cacapp("patients", "--json").json[0]["frames_failed"] == 1
    assert cacapp("report", "--format", "html", "--out", tmp_path / "reports").code == 0
    assert "frame01" in (tmp_path / "reports" / "P1.html").read_text()

    # the same command repeats nothing and says what is missing; it is tried again when that is asked for
    again = cacapp("segment", "--segmenter", "coarse")
    assert again.code == 3
    assert "already done as run 1, nothing repeated (--force does it again), 1 quarantined" in again.out
    assert "nothing to resume" in cacapp("runs", "resume").out
    assert cacapp("runs", "retry").code == 2
    assert cacapp("runs", "retry", "--failed").code == 3
    assert ledger(cacapp, 1)["frame01"] == ("quarantined", 3)  # with the retries it was begun with
    (tmp_path / "away.tif").rename(frames / "frame01.ome.tif")
    assert cacapp("runs", "retry", "--failed").code == 0
    assert ledger(cacapp, 1) == {"frame00": ("done", 1), "frame01": ("done", 1)}
    assert cacapp("runs", "show", 1, "--json").json["status"] == "succeeded"
    ended = cacapp(*command)
    assert ended.code == 0
    assert "segment S1: already done as run 1" in ended.out
    assert cacapp("patients", "--json").json[0]["frames_failed"] == 0
    assert "missing" not in cacapp("cells").err
    assert cacapp("runs", "retry", "--failed").out.startswith("no frame failed")


def test_a_run_of_which_no_frame_could_be_done_begins_again_with_the_same_command(cacapp: Cacapp, frames: Path, tmp_path: Path) -> None:
    assert cacapp("ingest", frames, *WHO).code == 0
    for file in frames.glob("*.tif"):
        file.rename(tmp_path / file.name)
    assert cacapp("segment", "--segmenter", "coarse", "--retries", "0").code == 1
    assert ledger(cacapp, 1) == {"frame00": ("quarantined", 1), "frame01": ("quarantined", 1)}
    for file in tmp_path.glob("*.tif"):
        file.rename(frames / file.name)
    assert cacapp("segment", "--segmenter", "coarse").code == 0
    assert ledger(cacapp, 1) == {"frame00": ("done", 1), "frame01": ("done", 1)}


@pytest.mark.slow
def test_a_frame_whose_storage_hangs_costs_itself_after_the_timeout(cacapp: Cacapp, frames: Path) -> None:
    """A pipe nobody writes to is opened and never read to its end, as a file of a server that is gone."""
    assert cacapp("ingest", frames, *WHO).code == 0
    (frames / "frame00.ome.tif").unlink()
    os.mkfifo(frames / "frame00.ome.tif")
    ended = cacapp("segment", "--segmenter", "coarse", "--workers", "2", "--frame-timeout", "15", "--retries", "0")
    assert ended.code == 3
    assert ledger(cacapp, 1) == {"frame00": ("quarantined", 1), "frame01": ("done", 1)}
    (error,) = ended.lines("error")
    assert "frame00: took longer than --frame-timeout 15 s and was stopped" in error


class Deletes(Silent):
    """Deletes a file when the first frame is done."""

    def __init__(self, file: Path) -> None:
        self.file, self.failed = file, list[str]()

    def advance(self, note: str = "", by: int = 1) -> None:
        if by and note.startswith("S1 frame"):
            self.file.unlink(missing_ok=True)

    def fail(self, line: str) -> None:
        self.failed.append(line)


def test_a_frame_that_is_deleted_during_the_run_costs_itself(cacapp: Cacapp, frames: Path, record_url: str) -> None:
    assert cacapp("ingest", frames, *WHO).code == 0
    told = Deletes(frames / "frame01.ome.tif")
    with_database(record_url, lambda db: segment(db, Host.discover(), PLAN, progress=told))
    assert ledger(cacapp, 1) == {"frame00": ("done", 1), "frame01": ("quarantined", 2)}
    assert len(told.failed) == 1
    assert "frame01.ome.tif is missing" in told.failed[0]


@pytest.mark.slow
def test_resume_uses_the_recorded_settings_and_the_steps_that_were_to_follow(
    cacapp: Cacapp, frames: Path, record_url: str, tmp_path: Path
) -> None:
    options = ("--set", "min_area=0.15", "--min-evaluable", "7")
    assert cacapp("run", frames, *WHO, "--segmenter", "coarse", "--no-report", *options, "--db", tmp_path / "whole.db").code == 0
    interrupted(cacapp, frames, record_url, *options)
    shown = cacapp("runs", "list").out
    assert "interrupted" in shown
    assert "1 frame still to be done" in cacapp("runs", "show", 1).out
    ended = cacapp("runs", "resume", 1)
    assert ended.code == 0
    assert "segment S1: run 1, 2 of 2 frames (1 done before)" in ended.out
    assert re.search(r"count S1: run \d, 2 of 2 frames", ended.out)
    assert content(record_url) == content(str(tmp_path / "whole.db"))
    assert "finished (succeeded); nothing to resume" in cacapp("runs", "resume", 1).out


@pytest.mark.slow
def test_resume_refuses_another_version_of_an_algorithm(cacapp: Cacapp, frames: Path, record_url: str) -> None:
    interrupted(cacapp, frames, record_url)
    settings = json.loads(json.dumps(ask_json(record_url)).replace('"version": "', '"version": "0.0.'))
    tell_json(record_url, settings)
    ended = cacapp("runs", "resume")
    assert ended.code == 1
    assert "cannot be resumed as it began; install that version, or give the command again" in ended.err
    assert ledger(cacapp, 1)["frame01"][0] == "pending"


def ask_json(url: str) -> Any:
    from cacapp.db.tables import Request

    def read(db: Database) -> Any:
        with db.reading() as session:
            return session.get_one(Request, 1).settings

    return with_database(url, read)


def tell_json(url: str, settings: Any) -> None:
    from cacapp.db.tables import Request

    def write(db: Database) -> None:
        with db.session() as session:
            session.get_one(Request, 1).settings = settings

    with_database(url, write)


def test_a_run_begun_without_a_command_is_resumed_from_its_own_row(cacapp: Cacapp, frames: Path, record_url: str) -> None:
    assert cacapp("ingest", frames, *WHO).code == 0
    plan = SegmentPlan(segmenter="coarse", params={"watershed": {"min_area": 0.15}}, seed=4)
    with_database(record_url, lambda db: segment(db, Host.discover(), plan))
    before = content(record_url)
    tell(record_url, "DELETE FROM verdict WHERE cell_id IN (SELECT id FROM cell WHERE frame_id = 2)")
    tell(record_url, "DELETE FROM cell WHERE frame_id = 2")
    tell(record_url, "UPDATE run_frame SET status = 'pending' WHERE frame_id = 2")
    tell(record_url, "UPDATE run SET status = 'running'")
    assert cacapp("runs", "resume").code == 0
    assert content(record_url) == before


@pytest.mark.slow
def test_a_cancelled_run_is_neither_resumed_nor_read(cacapp: Cacapp, frames: Path, record_url: str) -> None:
    interrupted(cacapp, frames, record_url)
    assert cacapp("runs", "cancel", 1).out == "run 1 is cancelled\n"
    assert cacapp("runs", "resume", 1).code == 1
    assert "nothing to resume" in cacapp("runs", "resume").out
    assert cacapp("runs", "cancel", 1).code == 1
    assert cacapp("count").code == 1
    assert cacapp("run", frames, *WHO, "--segmenter", "coarse", "--no-report").code == 0
    assert [r["status"] for r in cacapp("runs", "list", "--json").json] == ["succeeded", "succeeded", "cancelled"]


@pytest.mark.slow
def test_a_count_of_fewer_frames_that_was_left_behind_is_closed(cacapp: Cacapp, frames: Path, tmp_path: Path, record_url: str) -> None:
    """The count of one frame was interrupted; then the other frame was segmented after all."""
    command = ("run", frames, *WHO, "--segmenter", "coarse", "--no-report", "--retries", "0")
    assert cacapp("ingest", frames, *WHO).code == 0
    (frames / "frame01.ome.tif").rename(tmp_path / "away.tif")
    assert cacapp("segment", "--segmenter", "coarse", "--retries", "0").code == 3
    (tmp_path / "away.tif").rename(frames / "frame01.ome.tif")
    assert cacapp(*command).code == 3
    tell(record_url, "DELETE FROM contested_signal")
    tell(record_url, "DELETE FROM cell_call")
    tell(record_url, "DELETE FROM signal_count")
    tell(record_url, "DELETE FROM signal")
    tell(record_url, "UPDATE run_frame SET status = 'pending', attempts = 0 WHERE run_id = 2")
    tell(record_url, "UPDATE run SET status = 'running', finished_at = NULL WHERE id = 2")
    tell(record_url, "UPDATE request SET status = 'open'")
    assert cacapp("runs", "retry", "--failed", 1).code == 0
    assert cacapp("runs", "resume").code == 0
    assert [r["status"] for r in cacapp("runs", "list", "--json").json] == ["succeeded", "cancelled", "succeeded"]
    assert "run 3 has the results" in cacapp("runs", "show", 2, "--json").json["error"]
    assert "nothing to resume" in cacapp("runs", "resume").out
    assert half_done(record_url) == []

    # one that somebody may be at work on stays, on another machine too; the next call of the command closes it when its process is gone
    owner = lease.new_owner()
    for other, status in (
        ("other/abc/7/1/token", "running"),
        (owner, "running"),
        (owner.replace(f"/{os.getpid()}/", "/1234567/"), "cancelled"),
    ):
        tell(record_url, f"UPDATE run SET status = 'running', owner = '{other}' WHERE id = 2")
        assert cacapp(*command).code == 0
        assert cacapp("runs", "show", 2, "--json").json["status"] == status


@pytest.mark.slow
def test_force_makes_a_new_run_of_the_same(cacapp: Cacapp, frames: Path) -> None:
    command = ("run", frames, *WHO, "--segmenter", "coarse", "--no-report")
    assert cacapp(*command).code == 0
    assert cacapp(*command, "--force").code == 0
    runs = cacapp("runs", "list", "--json").json
    assert [r["id"] for r in runs] == [4, 3, 2, 1]
    assert runs[1]["fingerprint"] == runs[3]["fingerprint"]


def test_work_carries_the_digests_that_are_known(
    database: Database, small_slide: Path, cacapp: Cacapp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was hashed at ingest is not hashed again by whoever works on it."""
    given: list[str] = []
    monkeypatch.setattr("cacapp.runs.ledger.add_known_digests", lambda digests: given.extend(digests.values()))
    assert cacapp("ingest", small_slide, *WHO).code == 0
    segment(database, Host.discover(), PLAN)
    assert given == [sha256_of(path) for path in sorted(small_slide.glob("*.ome.tif"))]
