"""``cacapp train`` and ``cacapp models`` as a person uses them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
DOCS = Path(__file__).parents[2] / "docs" / "training.md"
QUICK = [f"--set={text}" for text in ("crops=2", "batch=2", "crop_px=64", "start=nuclei_t")] + ["--device", "cpu"]


@pytest.fixture
def labelled(counted: Run) -> Run:
    """The counted small slide with pseudo-labels, run 3."""
    assert counted("pseudo-label", "--prompters", "none", "--quiet").code == 0
    return counted


@pytest.mark.training
def test_a_model_is_trained_shown_and_used(labelled: Run) -> None:
    ended = labelled("train", "--name", "first", "--set", "epochs=1", *QUICK)
    assert (ended.code, ended.err) == (0, "")
    assert "model first: trained on " in ended.out
    assert "cacapp segment --segmenter maskrcnn --set weights=first" in ended.out
    (listed,) = labelled("models", "list", "--json").json
    assert (listed["name"], listed["kind"], listed["trained_from_run_id"]) == ("first", "maskrcnn", 3)
    assert labelled("segment", "--segmenter", "maskrcnn", "--set", "weights=first", "--set", "min_score=0.05").code == 0
    run = labelled("runs", "list", "--json").json[0]
    assert run["weights_sha256"] == listed["sha256"]
    assert labelled("models", "show", run["weights_sha256"][:12], "--json").json["used_by_runs"] == [run["id"]]
    shown = labelled("models", "show", "first").out
    for text in ("trained on pseudo-label run 3", "single-cell", "watershed", "segment run 1", "frame00"):
        assert text in shown
    assert re.search(rf"used by runs:?\s+{run['id']}\n", shown)
    assert "first" in labelled("models", "list").out
    assert "nothing repeated" in labelled("train", "--name", "first", "--set", "epochs=1", *QUICK).out


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.sqlite_only
def test_killed_in_the_middle_the_same_command_resumes(labelled: Run, tmp_path: Path) -> None:
    command = ["train", "--name", "long", "--set", "epochs=5", *QUICK]
    out = tmp_path / "models" / "long"
    process = subprocess.Popen([sys.executable, "-m", "cacapp", *command], cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"})
    end = time.monotonic() + 120
    while not (out / "checkpoint.pt").exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert 1 <= len(before) < 5
    assert labelled("models", "list", "--json").json == []
    ended = labelled(*command)
    assert (ended.code, ended.err) == (0, "")
    after = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in after] == list(range(1, 6))
    assert after[0] == before[0]  # to the millisecond: it was not trained again
    assert labelled("models", "show", "long", "--json").json["metrics"]["figures"]["epochs"] == 5


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--model", "nix"), "nix"),
        (("--model", "coarse"), "cannot be trained"),
        (("--run", "1"), "is a segment run"),
        (("--run", "3", "--slide", "S1"), "leave out --slide"),
        (("--set", "nix=1"), "nix"),
        (("--name", "a b"), "use letters"),
        (("--device", "abacus"), "device"),
    ],
)
def test_wrong_usage_is_one_line_and_trains_nothing(labelled: Run, tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    ended = labelled("train", *args)
    assert ended.code == 2
    (error,) = ended.lines("error")
    assert message in error
    assert not (tmp_path / "models").exists()


def test_a_model_that_is_not_there_is_named(counted: Run) -> None:
    assert "no models yet; train one with: cacapp train" in counted("models", "list").out
    ended = counted("models", "show", "nix")
    assert ended.code == 2
    assert "no model 'nix' in the database" in ended.err


@pytest.mark.training
def test_json_and_quiet(labelled: Run) -> None:
    found = labelled("train", "--set", "epochs=1", "--json", *QUICK).json
    assert found["name"].startswith("maskrcnn-")
    assert (found["runs"], found["repeated"]) == ([3], False)
    ended = labelled("train", "--set", "epochs=1", "-q", *QUICK)
    assert (ended.code, ended.out, ended.err) == (0, "", "")


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.sqlite_only
def test_the_guide_s_commands_work(cacapp: Run, small_slide: Path, tmp_path: Path) -> None:
    cacapp("ingest", small_slide, "--patient", "P1", "--slide", "S001", "--blood-volume-ul", "100")
    commands = [line for block in re.findall(r"```\n(.*?)```", DOCS.read_text(), re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 7
    for line in commands:
        program, *args = line.split()
        assert program == "cacapp"
        quick = [*QUICK, "--set=epochs=1"] if args[0] == "train" else []  # seconds instead of minutes
        ended = cacapp(*args, *quick)
        assert (ended.code, ended.err) == (0, ""), line
    assert (tmp_path / "models" / "first" / "curves.svg").is_file()
