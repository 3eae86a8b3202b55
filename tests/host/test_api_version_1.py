"""A plugin written for version 1 of the API is installed and runs: from files to counts, and in the contract suite."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cacapp.api import API_VERSION
from cacapp.host import Host
from tests.conftest import WHO
from tests.lab import ROOT, Lab

FROZEN = Path(__file__).parent / "api_1"
DIGEST = "468d4082964b4ca50ecf8ecf147ed799593bf2016d715f5e3f4aef6e975bb05d"


def test_the_plugin_of_version_1_is_as_it_was_written() -> None:
    found = hashlib.sha256(b"".join((FROZEN / p).read_bytes() for p in ("pyproject.toml", "src/acme_one/__init__.py"))).hexdigest()
    assert found == DIGEST, "it is frozen: what no longer runs it is a new version of the API"
    assert API_VERSION == 1


@pytest.mark.slow
def test_it_is_installed_and_takes_a_slide_from_files_to_counts(lab: Lab, small_slide: Path) -> None:
    shutil.copytree(FROZEN, lab.folder / "api_1")
    lab.run("pip install --quiet ./api_1")
    who = " ".join(WHO)
    chosen = "--prompter one-seeds --segmenter one-nuclei --filter one-shape --detector one-dots"
    lab.run(f"cacapp run {small_slide} {who} {chosen} --no-report --quiet")
    cells = json.loads(lab.run("cacapp cells --json").stdout)
    assert len(cells) >= 10
    told = json.loads(lab.run("cacapp plugins check acme-one --json").stdout)
    assert told["holds"], told
    assert {(a["kind"], a["name"]) for a in told["algorithms"]} == {
        ("prompter", "one-seeds"),
        ("segmenter", "one-nuclei"),
        ("segmenter", "one-learner"),
        ("filter", "one-shape"),
        ("signal-detector", "one-dots"),
    }


OLD_FIELD = """
from typing import ClassVar
from cacapp import Field, Segmenter, hookimpl

class Rings(Segmenter):
    "Nothing."
    name: ClassVar[str] = "rings"
    api_version: ClassVar[int] = {version}
    needs_prompts: ClassVar[bool] = False
    reach: float = Field(1.0, ge=0, description="how far", deprecated="use min_diameter_um")
    def segment(self, dapi, prompts, pixel_size_um):
        return []

@hookimpl
def cacapp_segmenters():
    return [Rings]
"""


def test_a_deprecated_parameter_warns_who_sets_it_and_nobody_else(
    install: Callable[..., None], cacapp: Callable[..., Any], small_slide: Path
) -> None:
    install("acme-rings", "acme-rings", source=OLD_FIELD.format(version=1), version="0.1.0")
    assert cacapp("ingest", small_slide, *WHO).code == 0
    assert "deprecated" not in cacapp("segment", "--segmenter", "rings").err
    said = cacapp("segment", "--segmenter", "rings", "--set", "reach=2").lines("warning")
    line = "warning: segmenter 'rings' (plugin 'acme-rings' of acme-rings 0.1.0): parameter reach is deprecated: use min_diameter_um"
    assert said.count(line) == 1
    assert line in (ROOT / "docs" / "plugin-api.md").read_text()


def test_a_plugin_of_another_version_is_refused_by_name(install: Callable[..., None]) -> None:
    install("acme-rings", "acme-rings", source=OLD_FIELD.format(version=2), version="0.1.0")
    (problem,) = [p for p in Host.discover().problems if p.distribution.startswith("acme")]
    line = "segmenter 'rings' was written for plugin API version 2, this cacapp speaks 1"
    assert line in str(problem)
    assert line in (ROOT / "docs" / "plugin-api.md").read_text()
