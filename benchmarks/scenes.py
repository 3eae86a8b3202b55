"""Make and score simulated scenes with the seeds of benchmarks/scenes.toml.

    python benchmarks/scenes.py make learn|choose SHARED OUT [--set NAME ...] [--frames N]
    python benchmarks/scenes.py score choose|sealed SHARED [--set NAME ...] [--workers N] [--work .bench-scenes]

SHARED contains bench/semireal.py, bench/score.py and data/dsb2018_fluo_dev, whose nuclei are used. ``make`` writes OUT/SET-SEED.
``score`` makes the slides, runs cacapp on them with defaults, and prints a line for each set. ``score sealed`` takes all sets, from a clean
checkout, once for each version of cacapp: it adds its lines to docs/benchmarks.md with date, version and commit.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cells import CACAPP, one_folder, run, together

from cacapp import __version__

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
HEADER = (
    "| date | version | commit | set | nuclei | exact counts | sensitivity | caught | review share | false CACs per 10,000 | "
    "of normal nuclei | probabilities |"
)
SEEDS_PER_SET = 20
SIZE = ("--width", "2400", "--height", "1800")

Set = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("make")
    made.add_argument("kind", choices=("learn", "choose"))
    made.add_argument("shared", type=Path)
    made.add_argument("out", type=Path)
    made.add_argument("--frames", type=int, help="frames of a slide, in place of those of scenes.toml")
    scored = commands.add_parser("score")
    scored.add_argument("kind", choices=("choose", "sealed"))
    scored.add_argument("shared", type=Path)
    scored.add_argument("--workers", default="1")
    scored.add_argument("--work", type=Path, default=Path(".bench-scenes"))
    for command in (made, scored):
        command.add_argument("--yardstick-python", default=sys.executable, help="Python with the packages of SHARED/bench")
        command.add_argument("--set", action="append", dest="sets", metavar="NAME")
    a = parser.parse_args()
    plan = tomllib.loads((ROOT / "benchmarks" / "scenes.toml").read_text(encoding="utf-8"))
    plan["sets"] |= {name: plan["alone"] | {"preset": name} for name in plan["alone"]["presets"]}
    if unknown := sorted(set(a.sets or ()) - set(plan["sets"])):
        raise SystemExit(f"--set {unknown[0]}: there are {', '.join(plan['sets'])}")
    if a.command == "make":
        for name, seed, one in slides(plan, a.kind, a.sets):
            make(a, a.out / f"{name}-{seed}", one | ({"frames": a.frames} if a.frames else {}), seed)
        return
    commit = require_unscored(a.sets) if a.kind == "sealed" else ""
    lines = [line_of(a, plan, name) for name in plan["sets"] if not a.sets or name in a.sets]
    if a.kind == "sealed":
        today = datetime.now(UTC).date().isoformat()
        record([f"| {today} | {__version__} | {commit} {line}" for line in lines])


def slides(plan: dict[str, Any], kind: str, sets: list[str] | None = None) -> Iterator[tuple[str, int, Set]]:
    """Yield name, seed and options of each slide of the sets, all by default."""
    for index, (name, one) in enumerate(plan["sets"].items()):
        for slide in range(one["slides"]):
            if not sets or name in sets:
                yield name, plan["seeds"][kind] + SEEDS_PER_SET * index + slide, one


def make(a: argparse.Namespace, folder: Path, one: Set, seed: int) -> None:
    """Write the frames of a slide into ``folder``, unless they are there."""
    if (folder / "truth.csv").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted call left
    real = str(a.shared / "data" / "dsb2018_fluo_dev")
    size = ["--frames", str(one["frames"]), "--nuclei", str(one["nuclei"]), "--seed", str(seed)]
    options = [text for value in one.get("settings", ()) for text in ("--set", value)]
    if "preset" in one:
        run([*CACAPP, "simulate", str(folder), "--preset", one["preset"], "--nuclei", real, *size, *SIZE, *options, "--quiet"])
    else:
        run([a.yardstick_python, str(a.shared / "bench" / "semireal.py"), real, str(folder), *size, *options])


def line_of(a: argparse.Namespace, plan: dict[str, Any], name: str) -> str:
    """Make and count the slides of a set; print and return its figures as the end of a table's line."""
    options = argparse.Namespace(**vars(a), true_masks=False, segmenter=None, assay=None)
    done = []
    for _, seed, one in slides(plan, a.kind, [name]):
        folder = a.work / "frames" / f"{name}-{seed}"
        make(a, folder, one, seed)
        done.append(one_folder(options, folder))
        shutil.rmtree(folder)  # the frames of all sets take 20 GB
        folder.mkdir()
        (folder / "truth.csv").touch()  # says that they were made
    result = together(done)
    score, (low, high) = result["score"], result["false_interval"]
    figures = (f"{score[n]:.4f}" for n in ("exact_count_mean", "cac_sensitivity", "cac_caught", "review_share"))
    false = f"{score['false_cac_per_10k_normal']:.1f} | {result['false_per_10k_normal']:.1f} ({low:.1f} to {high:.1f})"
    honest = "–"
    if "ece_doubtful" in score:
        seen = sum(d["score"]["expected_cac"] for d in done) / max(1, sum(d["score"]["cac_seen"] for d in done))
        honest = f"ECE {score['ece_doubtful']:.3f}; expected / seen {seen:.2f}; at 1 in 1,000 {score['sensitivity_at_1_in_1000']:.3f}"
    line = f"| {name} | {result['nuclei']:,} | {' | '.join(figures)} | {false} | {honest} |"
    print(line, flush=True)
    return line


def require_unscored(sets: list[str] | None) -> str:
    """Return the short commit; end the program where sealed seeds may not be used now."""
    if sets:
        raise SystemExit("score sealed takes all sets at once; for one set: score choose --set NAME")
    if git("status", "--porcelain"):
        raise SystemExit("score sealed: the checkout has changes; commit them first, so that the figures belong to a commit")
    if any(row.split("|")[2].strip() == __version__ for row in table()[1]):
        raise SystemExit(f"score sealed: version {__version__} was scored already ({PAGE.name}); raise the version at a release first")
    return git("rev-parse", "--short", "HEAD")


def table() -> tuple[int, list[str]]:
    """Return the line of docs/benchmarks.md at which the table of sealed scores ends, and its rows."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first = last = lines.index(HEADER) + 2
    while last < len(lines) and lines[last].startswith("|"):
        last += 1
    return last, lines[first:last]


def record(rows: list[str]) -> None:
    """Add rows to the table of docs/benchmarks.md."""
    end, _ = table()
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    PAGE.write_text("\n".join([*lines[:end], *rows, *lines[end:]]) + "\n", encoding="utf-8")


def git(*args: str) -> str:
    return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607 git of the PATH


if __name__ == "__main__":
    main()
