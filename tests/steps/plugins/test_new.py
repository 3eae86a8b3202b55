"""``cacapp plugins new`` writes a package that installs, is found, and passes its tests and the contract suite as written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab import ROOT, Lab

KINDS = ("prompter", "segmenter", "filter", "signal-detector", "reader")


@pytest.mark.slow
@pytest.mark.sqlite_only
@pytest.mark.parametrize("kind", KINDS)
def test_the_written_package_installs_and_passes_its_tests(lab: Lab, kind: str) -> None:
    name = f"acme-{kind.partition('-')[0]}"
    lab.run(f"cacapp plugins new {name} --kind {kind}")
    lab.run(f"pip install --quiet --editable './{name}[dev]'")
    assert " passed" in lab.run(f"pytest {name}").stdout
    found = json.loads(lab.run("cacapp plugins list --json").stdout)
    assert {"kind": kind, "name": name, "plugin": name, "distribution": name, "version": "0.1.0"} in found["algorithms"]
    assert not found["problems"]
    again = lab.run(f"cacapp plugins new {name} --kind {kind}", expect=2)
    assert f"there is a {kind} '{name}' already" in again.stderr


def test_the_example_is_what_the_command_writes(cacapp: Callable[..., Any], tmp_path: Path) -> None:
    """So that neither lags behind the other."""
    written = tmp_path / "cacapp-example"
    kinds = [word for kind in KINDS for word in ("--kind", kind)]
    assert cacapp("plugins", "new", "cacapp-example", *kinds, "--no-plugin", "cacapp-example").code == 0
    kept = ROOT / "plugins" / "cacapp-example"
    files = {p.relative_to(written) for p in written.rglob("*") if p.is_file()}
    assert files
    for path in files:
        assert (written / path).read_text() == (kept / path).read_text(), path


def test_its_project_file_says_what_it_offers(cacapp: Callable[..., Any], tmp_path: Path) -> None:
    assert cacapp("plugins", "new", "acme-dots", "--kind", "signal-detector", "--into", tmp_path / "a" / "b").code == 0
    home = tmp_path / "a" / "b" / "acme-dots"
    project = tomllib.loads((home / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"cacapp": {"acme-dots": "acme_dots.plugin"}}
    assert (home / "LICENSE").read_text().startswith("MIT License")


@pytest.mark.parametrize(
    ("name", "kinds", "why"),
    [
        ("Acme", ["segmenter"], "'Acme' is no name for a plugin"),
        ("acme_nuclei", ["segmenter"], "'acme_nuclei' is no name for a plugin"),
        ("../acme", ["segmenter"], "'../acme' is no name for a plugin"),
        ("json", ["segmenter"], "'json' is taken by Python or cacapp"),
        ("cacapp", ["segmenter"], "'cacapp' is taken by Python or cacapp"),
        ("watershed", ["prompter"], "there is a prompter 'watershed' already, of plugin 'builtin' of cacapp"),
        ("cacapp-dense", ["segmenter"], "there is a segmenter 'dense' already"),
        ("acme", ["camera"], "--kind camera: choose one of prompter, segmenter, filter, signal-detector, reader"),
        ("acme", ["filter", "filter"], "give each kind once"),
    ],
)
def test_bad_names_and_kinds_are_refused_and_nothing_is_written(
    cacapp: Callable[..., Any], tmp_path: Path, name: str, kinds: list[str], why: str
) -> None:
    before = set(tmp_path.iterdir())
    ended = cacapp("plugins", "new", name, *(word for kind in kinds for word in ("--kind", kind)))
    assert ended.code == 2
    (line,) = ended.lines("error")
    assert why in line
    assert set(tmp_path.iterdir()) == before


def test_an_existing_folder_is_left_alone(cacapp: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "mine.txt").write_text("mine")
    ended = cacapp("plugins", "new", "acme", "--kind", "filter")
    assert ended.code == 1
    assert "acme exists; give another name, or another folder with --into" in ended.err
    assert [p.name for p in (tmp_path / "acme").iterdir()] == ["mine.txt"]
