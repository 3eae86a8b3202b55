"""Installs each plugin of plugins/ beside cacapp, runs its tests and the contract suite; what cannot be installed here is said, not failed.

Usage: python .ci/plugins.py [NAME ...]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OFFERS_ALGORITHMS = "[project.entry-points.cacapp]"


def ran(*command: object, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=quiet, text=True, check=False)


def installed(folder: Path, held: Path) -> str | None:
    """Why the plugin cannot be installed, None where it was. What cacapp itself runs on keeps its version."""
    ended = ran("-m", "pip", "install", "--quiet", "--constraint", held, "--editable", folder, quiet=True)
    if ended.returncode == 0:
        return None
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("ERROR:")), lines[-1] if lines else "pip gave no reason")


def main(names: list[str]) -> int:
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
            why = installed(folder, held)
            if why is not None:
                table.append((folder.name, f"NOT TRIED, it cannot be installed here: {why}"))
                continue
            tests = ran("-m", "pytest", folder, "-c", folder / "pyproject.toml", f"--rootdir={folder}").returncode == 0
            told = "tests pass" if tests else "TESTS FAIL"
            good = tests
            if OFFERS_ALGORITHMS in (folder / "pyproject.toml").read_text():
                holds = ran("-m", "cacapp", "plugins", "check", folder.name).returncode == 0
                told += ", every claim holds" if holds else ", CLAIMS ARE BROKEN"
                good = good and holds
            failed = failed or not good
            table.append((folder.name, f"{told} ({time.perf_counter() - start:.0f} s)"))
    print()
    for name, told in table:
        print(f"{name:24} {told}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
