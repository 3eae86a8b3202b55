"""Are there known holes in what is installed here? Asks PyPI through pip-audit.

`make lint` says what it found and goes on: an advisory that came out this morning is no fault of today's change. With --strict
(`make audit`, before a release) a hole ends with exit code 1. Where no registry answers, it says so and is skipped either way.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

TIMEOUT_S = 90


def ask() -> dict[str, Any] | str:
    """pip-audit's report, or why there is none."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--local",
        "--skip-editable",
        "--progress-spinner",
        "off",
        "--timeout",
        "10",
        "-f",
        "json",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer in {TIMEOUT_S} s"
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
    return report


def judge(report: dict[str, Any] | str) -> tuple[list[str], int]:
    """The lines to print, and how many packages have known holes."""
    if isinstance(report, str):
        return [f"audit: skipped, no registry can be asked ({report})"], 0
    seen = [package for package in report["dependencies"] if "skip_reason" not in package]
    if not seen:
        return ["audit: skipped, no registry that can be reached knows these packages"], 0
    holes = [package for package in seen if package["vulns"]]
    lines = [
        f"audit: {package['name']} {package['version']}: {hole['id']}"
        + (f", fixed in {', '.join(hole['fix_versions'])}" if hole["fix_versions"] else ", no fix yet")
        for package in holes
        for hole in package["vulns"]
    ]
    unseen = len(report["dependencies"]) - len(seen)
    rest = f", {unseen} could not be looked up" if unseen else ""
    return [*lines, f"audit: {len(seen)} packages looked up{rest}, {len(holes)} with known holes"], len(holes)


def main() -> int:
    lines, holes = judge(ask())
    print("\n".join(lines))
    return int(bool(holes) and "--strict" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
