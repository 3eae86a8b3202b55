"""Install the plugins of plugins/ beside cacapp, run their tests and the contract suite; two at a time, those that need all cores alone.

What cannot be installed here is named and does not fail. A plugin that needs other versions than cacapp runs on here gets an environment
of its own over this one, in .venv-plugins.

Usage: python .ci/plugins.py [--strict] [NAME ...]    (strict: what cannot be installed is a failure)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ALGORITHMS = "cacapp"
"""The group of entry points of those that offer algorithms."""
AT_ONCE = 2
OWN = ROOT / ".venv-plugins"


def ran(
    *command: object, python: str = sys.executable, at_once: int = AT_ONCE, more: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Run Python to its end with its share of the cores. ``more``: environment variables."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // at_once)), **more}
    return subprocess.run([python, *map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def installed(folder: Path, pins: Path) -> tuple[str, str | None]:
    """The Python that has the plugin, and why it cannot be installed, None where it was. What cacapp itself runs on keeps its version."""
    ended = ran("-m", "pip", "install", "--quiet", "--constraint", pins, "--editable", folder)
    if ended.returncode == 0:
        return sys.executable, None
    python = layered(OWN / folder.name)
    ended = ran("-m", "pip", "install", "--quiet", "--editable", folder, python=python)
    if ended.returncode == 0:
        return python, None
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    return python, next((line for line in lines if line.startswith("ERROR:")), lines[-1] if lines else "pip gave no reason")


def layered(place: Path) -> str:
    """The Python of a new environment that sees everything of this one, and goes first where it has another version."""
    shutil.rmtree(place, ignore_errors=True)
    ran("-m", "venv", place)
    python = next(p for p in (place / "bin" / "python", place / "Scripts" / "python.exe") if p.exists())
    own, under = (
        ran("-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", python=one).stdout.strip()
        for one in (str(python), sys.executable)
    )
    (Path(own) / "_under.pth").write_text(f"import site; site.addsitedir({under!r})\n")
    return str(python)


@dataclass(frozen=True)
class Verdict:
    """What became of a plugin: the line for the table, whether it passed, and all that its tests printed."""

    line: str
    passed: bool
    output: str = ""


def options_of(folder: Path) -> dict[str, Any]:
    """How a plugin is checked: ``check``, words for `plugins check`; ``alone``, whether it needs all cores to itself;

    ``prepare``, words for Python that go first; ``environment``, variables, in which {own} is a folder of its own.
    """
    return dict(tomllib.loads((folder / "pyproject.toml").read_text()).get("tool", {}).get("cacapp", {}))


def tried(folder: Path, python: str, at_once: int, strict: bool = False) -> Verdict:
    """Run a plugin's tests and the contract suite on what it offers."""
    start = time.perf_counter()
    about = tomllib.loads((folder / "pyproject.toml").read_text())
    offers = ALGORITHMS in about["project"].get("entry-points", {})
    # its contract suite is what `plugins check` tries, and takes the longest
    less = ["--ignore", folder / "tests" / "test_contract.py"] if offers else []
    options = options_of(folder)
    more = {name: value.format(own=OWN / f"{folder.name}-own") for name, value in options.get("environment", {}).items()}
    if "prepare" in options:
        prepared = ran(*options["prepare"], python=python, at_once=at_once, more=more)
        if prepared.returncode:
            return Verdict(f"NOT TRIED, it cannot be prepared here: {prepared.stderr.strip()[-200:]}", not strict)
    words = ("-m", "pytest", folder, "-c", folder / "pyproject.toml", f"--rootdir={folder}", *less)
    tests = ran(*words, python=python, at_once=at_once, more=more)
    passed, output = tests.returncode == 0, tests.stdout + tests.stderr
    line = ("tests pass" if passed else "TESTS FAIL") + ("" if python == sys.executable else ", in an environment of its own")
    if offers:
        chosen = [word.format(folder=folder, python=python) for word in options.get("check", [])]
        check = ran("-m", "cacapp", "plugins", "check", folder.name, *chosen, python=python, at_once=at_once, more=more)
        line += ", every claim holds" if check.returncode == 0 else ", CLAIMS ARE BROKEN"
        passed, output = passed and check.returncode == 0, output + check.stdout + check.stderr
    return Verdict(f"{line} ({time.perf_counter() - start:.0f} s)", passed, output)


def main(names: list[str], strict: bool) -> int:
    folders = sorted(p.parent for p in (ROOT / "plugins").glob("*/pyproject.toml"))
    unknown = set(names) - {f.name for f in folders}
    if unknown:
        sys.exit(f"no such plugin: {', '.join(sorted(unknown))}; there are {', '.join(f.name for f in folders)}")
    folders = [f for f in folders if not names or f.name in names]
    verdicts: dict[str, Verdict] = {}
    pythons: dict[Path, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        pins = Path(scratch) / "pins.txt"
        pins.write_text(ran("-m", "pip", "list", "--format", "freeze", "--exclude-editable").stdout)
        for folder in folders:  # one after the other: two pips in one environment get in each other's way
            print(f"installing {folder.name}", flush=True)
            python, why = installed(folder, pins)
            if why is None:
                pythons[folder] = python
            else:
                verdicts[folder.name] = Verdict(f"NOT TRIED, it cannot be installed here: {why}", not strict)
    alone = {folder: python for folder, python in pythons.items() if options_of(folder).get("alone", False)}
    for at_once, group in ((AT_ONCE, {f: p for f, p in pythons.items() if f not in alone}), (1, alone)):
        with ThreadPoolExecutor(at_once) as pool:
            trials = {pool.submit(tried, folder, python, at_once, strict): folder.name for folder, python in group.items()}
            for trial in as_completed(trials):
                verdict = verdicts[trials[trial]] = trial.result()
                print(f"\n-- {trials[trial]} --\n{verdict.output}", flush=True)
    print()
    for name, verdict in sorted(verdicts.items()):
        print(f"{name:24} {verdict.line}")
    return int(not all(verdict.passed for verdict in verdicts.values()))


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(main([word for word in words if word != "--strict"], "--strict" in words))
