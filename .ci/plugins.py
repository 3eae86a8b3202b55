"""Installs each plugin of plugins/ beside cacapp, runs its tests and the contract suite; what cannot be installed here is said, not failed.

A plugin that needs other versions than cacapp runs on here gets an environment of its own over this one, in .venv-plugins.

Usage: python .ci/plugins.py [--strict] [NAME ...]    (strict: what cannot be installed is a failure)
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OFFERS_ALGORITHMS = "cacapp"
"""The group of entry points."""
OWN = ROOT / ".venv-plugins"


def ran(*command: object, python: str = sys.executable, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, *map(str, command)], cwd=ROOT, capture_output=quiet, text=True, check=False)


def installed(folder: Path, held: Path) -> tuple[str, str | None]:
    """The Python that has the plugin, and why it cannot be installed, None where it was. What cacapp itself runs on keeps its version."""
    ended = ran("-m", "pip", "install", "--quiet", "--constraint", held, "--editable", folder, quiet=True)
    if ended.returncode == 0:
        return sys.executable, None
    python = layered(OWN / folder.name)
    ended = ran("-m", "pip", "install", "--quiet", "--editable", folder, python=python, quiet=True)
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
        ran("-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", python=one, quiet=True).stdout.strip()
        for one in (str(python), sys.executable)
    )
    (Path(own) / "_under.pth").write_text(f"import site; site.addsitedir({under!r})\n")
    return str(python)


def main(names: list[str], strict: bool) -> int:
    folders = sorted(p.parent for p in (ROOT / "plugins").glob("*/pyproject.toml"))
    unknown = set(names) - {f.name for f in folders}
    if unknown:
        sys.exit(f"no such plugin: {', '.join(sorted(unknown))}; there are {', '.join(f.name for f in folders)}")
    table, failed = [], False
    with tempfile.TemporaryDirectory() as scratch:
        held = Path(scratch) / "held.txt"
        frozen = ran("-m", "pip", "list", "--format", "freeze", "--exclude-editable", quiet=True).stdout
        held.write_text(frozen)
        for folder in (f for f in folders if not names or f.name in names):
            start = time.perf_counter()
            print(f"\n-- {folder.name} --", flush=True)
            python, why = installed(folder, held)
            if why is not None:
                table.append((folder.name, f"NOT TRIED, it cannot be installed here: {why}"))
                failed = failed or strict
                continue
            about = tomllib.loads((folder / "pyproject.toml").read_text())
            offers = OFFERS_ALGORITHMS in about["project"].get("entry-points", {})
            # its contract suite is what `plugins check` tries, and takes the longest
            less = ["--ignore", folder / "tests" / "test_contract.py"] if offers else []
            words = ["-m", "pytest", folder, "-c", folder / "pyproject.toml", f"--rootdir={folder}", *less]
            tests = ran(*words, python=python).returncode == 0
            told = ("tests pass" if tests else "TESTS FAIL") + ("" if python == sys.executable else ", in an environment of its own")
            good = tests
            if offers:
                asked = about.get("tool", {}).get("cacapp", {}).get("check", [])
                chosen = [word.format(folder=folder, python=python) for word in asked]
                holds = ran("-m", "cacapp", "plugins", "check", folder.name, *chosen, python=python).returncode == 0
                told += ", every claim holds" if holds else ", CLAIMS ARE BROKEN"
                good = good and holds
            failed = failed or not good
            table.append((folder.name, f"{told} ({time.perf_counter() - start:.0f} s)"))
    print()
    for name, told in table:
        print(f"{name:24} {told}")
    return int(failed)


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(main([word for word in words if word != "--strict"], "--strict" in words))
