"""What holds for all commands: where they print, what --json, --quiet and --db do, and exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cacapp.cli import console
from tests.waiting import when_waiting

Run = Callable[..., Any]
WHO = ("--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100")

LEAVES = (
    ("run",),
    ("ingest",),
    ("segment",),
    ("count",),
    ("report",),
    ("patients",),
    ("cells",),
    ("export",),
    ("simulate",),
    ("demo",),
    ("runs", "list"),
    ("runs", "show"),
    ("plugins", "list"),
    ("plugins", "show"),
    ("db", "upgrade"),
    ("db", "status"),
    ("db", "check"),
    ("db", "backup"),
    ("db", "copy"),
    ("db", "prune"),
    ("compare",),
    ("control", "add"),
    ("control", "list"),
    ("control", "show"),
    ("control", "remove"),
    ("assay", "list"),
    ("assay", "show"),
    ("assay", "check"),
)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("command", LEAVES, ids=" ".join)
def test_every_command_has_help_json_and_quiet(cacapp: Run, command: tuple[str, ...]) -> None:
    ended = cacapp(*command, "--help")
    assert (ended.code, ended.err) == (0, "")
    options = {"--json", "--quiet"} | (set() if command[0] in ("simulate", "demo", "plugins", "assay") else {"--db"})
    assert {o for o in options if o not in ended.out} == set()


def test_help_lists_every_command_and_the_exit_codes(cacapp: Run) -> None:
    ended = cacapp("--help")
    assert [c[0] for c in LEAVES if c[0] not in ended.out] == []
    assert "Exit codes" in ended.out


def test_the_version_is_the_packages(cacapp: Run) -> None:
    from cacapp import __version__

    assert cacapp("--version").out == f"cacapp {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    heavy = "('numpy', 'cv2', 'scipy', 'torch', 'pydantic', 'sqlalchemy', 'sqlmodel', 'aicsimageio', 'jinja2', 'pluggy', 'tifffile')"
    code = (
        "import sys; from cacapp.cli.app import run_command; assert run_command(['--help']) == 0; "
        f"print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr == "[]\n"


@pytest.mark.parametrize(
    "args",
    [
        ("patients", "--json"),
        ("report", "--json"),
        ("report", "--format", "json"),
        ("cells", "--json"),
        ("runs", "list", "--json"),
        ("runs", "show", "1", "--json"),
        ("plugins", "list", "--json"),
        ("plugins", "show", "log", "--json"),
        ("db", "status", "--json"),
        ("db", "upgrade", "--json"),
        ("segment", "--json"),
        ("count", "--json"),
        ("export", "out", "--json"),
        ("report", "--format", "html", "--json"),
        ("simulate", "made", "--frames", "1", "--nuclei", "0", "--width", "128", "--height", "128", "--json"),
        ("simulate", "--parameters", "--json"),
    ],
    ids=" ".join,
)
def test_json_is_all_that_is_printed(counted: Run, args: tuple[str, ...]) -> None:
    ended = counted(*args)
    assert ended.code == 0
    assert ended.json is not None
    # --quiet takes warnings and progress away, never what was asked for.
    assert type(json.loads(counted(*args, "--quiet").out)) is type(ended.json)


@pytest.mark.parametrize(
    "args", [("segment",), ("count",), ("export", "out"), ("patients",), ("cells",), ("runs", "list"), ("runs", "show", "1")]
)
def test_quiet_prints_nothing_where_nothing_is_wrong(counted: Run, args: tuple[str, ...]) -> None:
    ended = counted(*args, "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_quiet_hides_warnings_and_keeps_errors(cacapp: Run, tmp_path: Path, small_slide: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.ome.tif").write_bytes((small_slide / "frame00.ome.tif").read_bytes())
    (tmp_path / "in" / "bad.ome.tif").write_bytes(b"")
    unknown = (*WHO[:-1], "unknown")
    loud = cacapp("ingest", tmp_path / "in", *unknown, "--db", "loud.db")
    assert loud.lines("warning")
    ended = cacapp("ingest", tmp_path / "in", *unknown, "--quiet")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.splitlines() == loud.lines("error")


def test_a_repeated_command_says_it_is_done_and_changes_nothing(counted: Run, small_slide: Path) -> None:
    before = counted("runs", "list", "--json").json
    same = ("--segmenter", "coarse")
    for args in (("segment", *same), ("count",), ("run", small_slide, *WHO, *same, "--no-report")):
        ended = counted(*args)
        assert ended.code == 0
        assert "already done" in ended.out
    assert counted("runs", "list", "--json").json == before
    assert counted("segment", *same, "--force").code == 0
    assert len(counted("runs", "list", "--json").json) == len(before) + 1


def test_the_database_is_named_by_option_or_environment(cacapp: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CACAPP_DB", str(tmp_path / "there.db"))
    assert cacapp("db", "upgrade").code == 0
    assert (tmp_path / "there.db").exists()
    assert cacapp("db", "upgrade", "--db", "here.db").code == 0
    assert (tmp_path / "here.db").exists()
    assert not (tmp_path / "cacapp.db").exists()


def test_files_are_written_where_out_says_and_hold_what_the_screen_would(counted: Run, tmp_path: Path) -> None:
    for form in ("csv", "json"):
        for command in ("cells", "report"):
            out = tmp_path / f"{command}.{form}"
            assert counted(command, "--format", form, "--out", out).code == 0
            assert out.read_text() == counted(command, "--format", form).out


@pytest.mark.parametrize(("command", "form"), [("report", "pdf"), ("cells", "html"), ("export", "png")])
def test_an_unknown_format_is_refused_with_those_there_are(counted: Run, command: str, form: str) -> None:
    ended = counted(command, *(["out"] if command == "export" else []), "--format", form)
    assert ended.code == 2
    assert "choose one of" in ended.err


def test_plugins_show_prints_units_bounds_and_defaults(cacapp: Run) -> None:
    (record,) = cacapp("plugins", "show", "single-cell", "--json").json
    assert (record["kind"], record["distribution"]) == ("filter", "cacapp")
    assert {"name", "type", "default", "bounds", "description"} <= set(record["parameters"][0])
    ended = cacapp("plugins", "show", "no-such")
    assert ended.code == 2
    assert "watershed" in ended.err


def test_names_that_look_like_markup_are_printed_as_they_are(cacapp: Run, small_slide: Path) -> None:
    who = ("--patient", "P[red]1", "--slide", "S[/]1", "--blood-volume-ul", "100")
    ended = cacapp("run", small_slide, *who, "--no-report")
    assert "S[/]1" in ended.out
    assert "P[red]1" in cacapp("patients").out


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_progress_shows_the_time_left_on_a_terminal_and_is_wiped_away(tmp_path: Path, small_slide: Path) -> None:
    """A real terminal for stderr, a pipe for stdout."""
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "cacapp", "run", str(small_slide), *WHO[:-1], "unknown", "--no-report"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=child, cwd=tmp_path, env=environment)
    os.close(child)
    seen = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    assert process.stdout is not None
    out = process.stdout.read().decode()
    assert process.wait() == 0
    os.close(parent)
    text = seen.decode()
    assert "segment" in text
    assert "left" in text
    assert re.search(r"\d+/2", text)
    # The last thing done to the terminal is to take the bar away; on the other stream there is never any of it.
    assert "\x1b[2K" in text.rsplit("left", 1)[1]
    assert "\x1b" not in out
    assert "P1" in out


@pytest.mark.slow
def test_without_a_terminal_there_is_no_progress_bar(cacapp: Run, small_slide: Path) -> None:
    assert not console.err.is_terminal
    assert cacapp("run", small_slide, *WHO, "--no-report").err == ""


@pytest.mark.sqlite_only
def test_a_database_another_program_writes_to_is_waited_for(counted: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cacapp.db.engine.transactions.SAY_AFTER_S", 0.2)
    other = sqlite3.connect(tmp_path / "cacapp.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with when_waiting(other.rollback):
        ended = counted("count", "--force", "--quiet")
    other.close()
    assert ended.code == 0
    (line,) = ended.lines("warning")
    assert "cacapp.db is in use by another program; waiting for it" in line
