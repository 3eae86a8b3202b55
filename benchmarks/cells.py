"""Benchmark of counts and CAC calls over whole distributions: confusion of counts, ROC over the margin, worst cells with pictures.

    python benchmarks/cells.py SHARED FOLDER... [--true-masks] [--segmenter NAME] [--assay FILE] [--workers N] [--work .bench-cells]

SHARED contains bench/score.py; each FOLDER was made by bench/semireal.py. ``cacapp`` runs on each folder as one slide, with defaults;
its export is scored by score.py, its counts by ``cacapp compare``. ``--true-masks`` uses the true nuclei (``cacapp import-labels``), to
separate errors of segmentation from errors of counting. Figures of all folders are summed: give folders of one kind of optics.
Writes WORK/result.json, WORK/roc.csv and WORK/*/worst.png. Results of an earlier call with the same options are reused.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from scipy.stats import beta

CACAPP = [sys.executable, "-m", "cacapp"]
PROBES = ("aqua", "green", "gold", "red")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--true-masks", action="store_true")
    parser.add_argument("--segmenter")
    parser.add_argument("--assay")
    parser.add_argument("--workers", default="1")
    parser.add_argument("--work", type=Path, default=Path(".bench-cells"))
    parser.add_argument("--yardstick-python", default=sys.executable)
    a = parser.parse_args()
    done = [one_folder(a, folder) for folder in a.folders]
    result = together(done)
    (a.work / "result.json").write_text(json.dumps(result, indent=1))
    with (a.work / "roc.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["min_margin_snr", "cacs_called", "false_cacs"])
        table.writerows(result["roc"])
    show(result)


def one_folder(a: argparse.Namespace, frames: Path) -> dict[str, Any]:
    """Return all figures of one folder of frames."""
    work = a.work / frames.name
    kept = work / "figures.json"
    if kept.exists():
        return json.loads(kept.read_text())  # type: ignore[no-any-return]
    work.mkdir(parents=True, exist_ok=True)
    db = ["--db", str(work / "cacapp.db"), "--quiet"]
    more = ["--assay", a.assay] if a.assay else []
    who = ["--patient", "P", "--slide", "S", "--blood-volume-ul", "100"]
    start = time.perf_counter()
    if a.true_masks:
        run([*CACAPP, "ingest", str(frames), *who, *db])
        run([*CACAPP, "import-labels", str(frames), "--slide", "S", "--origin", "truth", *db])
        run([*CACAPP, "count", "S", "--workers", a.workers, *more, *db])
    else:
        segmenter = ["--segmenter", a.segmenter] if a.segmenter else []
        run([*CACAPP, "run", str(frames), *who, "--no-report", "--workers", a.workers, *segmenter, *more, *db])
    seconds = time.perf_counter() - start
    run([*CACAPP, "export", str(work / "out"), *db])
    runs = json.loads(run([*CACAPP, "runs", "list", "--json", "--db", str(work / "cacapp.db")]))
    count_run = next(r["id"] for r in runs if r["step"] == "count")
    truth, into = str(frames / "truth.csv"), str(work / "compare")
    compared = json.loads(
        run([*CACAPP, "compare", str(count_run), truth, "--json", "--worst", "10", "--out", into, "--db", str(work / "cacapp.db")])
    )
    scored = json.loads(run([a.yardstick_python, str(a.shared / "bench" / "score.py"), "cells", str(frames), str(work / "out")]))
    with (work / "compare" / "cells.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    figures = {"folder": str(frames), "seconds": seconds, "score": scored, "compare": compared, "lines": lines}
    kept.write_text(json.dumps(figures))
    return figures


def together(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum the figures of the folders; rates from counts, means of score.py weighted by matched nuclei."""
    names = [name for name, value in done[0]["score"].items() if isinstance(value, int | float)]
    score = {name: mean_score(done, name) for name in names}
    lines = [line for d in done for line in d["lines"]]
    called = [(line["true_class"] == "cac", float(line["margin"] or "inf")) for line in lines if line["called_class"] == "cac"]
    steps = sorted({0.0, *(round(m, 2) for _, m in called)})
    roc = [[m, sum(t and x >= m for t, x in called), sum(not t and x >= m for t, x in called)] for m in steps]
    true_cac = sum(line["true_class"] == "cac" for line in lines)
    normal = sum(line["true_class"] == "normal" and line["found"] == "1" for line in lines)
    false = Counter(line["true_class"] for line in lines if line["called_class"] == "cac" and line["true_class"] != "cac")
    tables = [d["compare"]["counts"] for d in done]
    counts = {p: [[sum(cell) for cell in zip(*rows, strict=True)] for rows in zip(*(t[p] for t in tables), strict=True)] for p in PROBES}
    classes: Counter[tuple[str, str]] = Counter()
    for d in done:
        for c in d["compare"]["classes"]:
            classes[(c["truth"], c["called"])] += c["cells"]
    false_normal = false.get("normal", 0)
    return {
        "folders": [d["folder"] for d in done],
        "seconds": sum(d["seconds"] for d in done),
        "nuclei": len(lines),
        "true_cacs": true_cac,
        "normal_found": normal,
        "false_by_true_class": dict(false),
        "false_per_10k_normal": 1e4 * false_normal / max(normal, 1),
        "false_interval": interval(false_normal, normal),
        "score": score,
        "bins": done[0]["compare"]["bins"],
        "counts": counts,
        "classes": [[t, c, n] for (t, c), n in sorted(classes.items())],
        "roc": roc,
        "worst": [{"folder": d["folder"], **w} for d in done for w in d["compare"]["worst"]],
    }


def mean_score(done: list[dict[str, Any]], name: str) -> float:
    """Return the mean of a figure of score.py over folders: of CACs by their number, of all others by the matched nuclei."""
    of_cacs = name in ("cac_sensitivity", "cac_caught", "sensitivity_at_1_in_1000")
    known = [
        (d["score"]["cac_true"] if of_cacs else d["compare"]["matched"], d["score"][name]) for d in done if d["score"][name] is not None
    ]
    return float(sum(weight * value for weight, value in known) / max(1, sum(weight for weight, _ in known)))


def interval(k: int, n: int) -> tuple[float, float]:
    """Return the 95 % Clopper-Pearson interval per 10,000."""
    low = float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0
    return 1e4 * low, 1e4 * float(beta.ppf(0.975, k + 1, n - k)) if n > k else 1e4


def show(r: dict[str, Any]) -> None:
    """Print the figures as tables."""
    console = Console(width=140)
    low, high = r["false_interval"]
    console.print(
        f"{r['nuclei']} true nuclei, {r['true_cacs']} CACs, {r['normal_found']} normal ones found; {r['seconds']:.0f} s\n"
        + "  ".join(f"{name} {value:.4f}" for name, value in r["score"].items())
        + f"\nfalse CACs per 10,000 normal: {r['false_per_10k_normal']:.2f} ({low:.2f} to {high:.2f}); "
        + f"by true class {r['false_by_true_class']}"
    )
    for probe, rows in r["counts"].items():
        table = Table(title=probe)
        for name in ("true \\ counted", *r["bins"]):
            table.add_column(name, justify="right")
        for name, row in zip(r["bins"], rows, strict=True):
            if any(row):
                table.add_row(name, *map(str, row))
        console.print(table)
    console.print("classes:", ", ".join(f"{t}→{c} {n}" for t, c, n in r["classes"]))
    console.print("ROC (margin, CACs, false):", r["roc"][:: max(1, len(r["roc"]) // 12)])


def run(command: list[str]) -> str:
    """Run a command; if it fails, end the benchmark with its output."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


if __name__ == "__main__":
    main()
