"""`make lint` asks for known holes in what is installed, and does not depend on a network."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "audit.py"
UNREACHABLE = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_without_a_network_it_is_skipped_with_a_message() -> None:
    environment = {**os.environ, **UNREACHABLE, "NO_PROXY": "", "no_proxy": ""}
    done = subprocess.run([sys.executable, SCRIPT, "--strict"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("audit: skipped, no registry")
    assert done.stdout.count("\n") == 1


def test_a_known_vulnerability_is_named_with_its_fix(audit: ModuleType) -> None:
    hole = {"id": "PYSEC-2021-1", "fix_versions": ["2.0", "1.9.1"], "aliases": [], "description": ""}
    packages = [
        {"name": "holed", "version": "1.8", "vulns": [hole, {**hole, "id": "PYSEC-2", "fix_versions": []}]},
        {"name": "whole", "version": "1", "vulns": []},
        {"name": "unknown", "skip_reason": "not on PyPI"},
    ]
    lines, holes = audit.judge({"dependencies": packages})
    assert holes == 1
    assert lines == [
        "audit: holed 1.8: PYSEC-2021-1, fixed in 2.0, 1.9.1",
        "audit: holed 1.8: PYSEC-2, no fix yet",
        "audit: 2 packages looked up, 1 could not be looked up, 1 with known holes",
    ]


def test_without_any_look_up_the_audit_does_not_pass(audit: ModuleType) -> None:
    lines, holes = audit.judge({"dependencies": [{"name": "a", "skip_reason": "not on PyPI"}]})
    assert (lines, holes) == (["audit: skipped, no registry that can be reached knows these packages"], 0)
