"""``cacapp report``, ``patients`` and ``cells``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cacapp.cli import options as o
from cacapp.cli.console import out as stdout
from cacapp.cli.console import print_json, progress, say, table
from cacapp.errors import UsageError

if TYPE_CHECKING:
    from cacapp.db.queries import PatientSummary

Out = Annotated[Path | None, typer.Option("--out", help="File to write (html: folder); standard output by default.")]


def report(
    patient: Annotated[list[str] | None, typer.Option("--patient", help="Patient; may be repeated. All by default.")] = None,
    form: Annotated[str, typer.Option("--format", metavar="table|json|csv|html")] = "table",
    out: Out = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """The patients' results: a table, JSON, CSV, or an HTML page each with pictures."""
    form = "json" if json else form
    if form not in ("table", "json", "csv", "html"):
        raise UsageError(f"--format {form}: choose one of table, json, csv, html")
    if form != "html":
        _print_results(db, patient or (), form, out, quiet)
        return
    from cacapp.db.session import open_database
    from cacapp.steps.report import write_reports

    with progress(quiet) as bar:
        pages = write_reports(open_database(db, create=False), out or Path("reports"), patient or (), bar)
    for page in pages:
        say(str(page), quiet)


def patients(patient: o.PatientFilter = None, db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Patients with evaluable cells, classes, CACs, CACs per 100 µL and verdict."""
    _print_results(db, [patient] if patient else (), "json" if json else "table", None, quiet)


def cells(
    patient: o.PatientFilter = None,
    slide: o.SlideFilter = None,
    class_: Annotated[str | None, typer.Option("--class", help="Only this class, e.g. cac.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many rows.")] = None,
    form: Annotated[str, typer.Option("--format", metavar="table|csv|json|parquet")] = "table",
    out: Out = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Cells with counts per probe, class and why they were excluded."""
    from cacapp.db.cell_queries import cells as query
    from cacapp.db.session import open_database
    from cacapp.steps.export import cells_csv

    form = "json" if json else form
    if form not in ("table", "csv", "json", "parquet"):
        raise UsageError(f"--format {form}: choose one of table, csv, json, parquet")
    if form == "parquet" and out is None:
        raise UsageError("--format parquet needs a file: add --out cells.parquet")
    with open_database(db, create=False).reading() as session:
        rows = query(session, patient=patient, slide=slide, class_=class_, limit=limit)
    records = [row.as_dict() for row in rows]
    if form == "json":
        _deliver_json(records, out)
    elif form == "csv":
        _deliver_text(cells_csv(rows), out)
    elif form == "parquet":
        _write_parquet(records, out)
    else:
        _cells_table(records)


def print_patients(db: str | None, codes: Sequence[str] = ()) -> None:
    """The table of patients."""
    _print_results(db, list(dict.fromkeys(codes)), "table", None, False)


def _print_results(db: str | None, codes: Sequence[str], form: str, out: Path | None, quiet: bool) -> None:
    from cacapp.db.session import open_database
    from cacapp.steps.report import patients_with_results

    found = patients_with_results(open_database(db, create=False), codes)
    if form == "json":
        _deliver_json([_record(p) for p in found], out)
    elif form == "csv":
        _deliver_text(_csv([_record(p) for p in found]), out)
    elif not found:
        say("no patients yet; add slides with: cacapp ingest", quiet)
    elif not quiet:
        stdout.print(_patients_table(found))


def _patients_table(found: Sequence[PatientSummary]) -> Any:
    classes = list(dict.fromkeys(name for p in found if p.result for name, n in p.result.classes.items() if n or name != "other"))
    order = {name: i for i, name in enumerate(("normal", "loss", "gain", "cac"))}
    classes.sort(key=lambda name: (order.get(name, 9), name))
    columns: list[str | tuple[str, str]] = ["patient", ("evaluable\ncells", "right"), *((c, "right") for c in classes)]
    columns += [("CACs", "right"), ("µL", "right"), ("CACs per 100 µL\n(95 % interval)", "right"), "verdict"]
    rows = []
    for p in found:
        r = p.result
        if r is None:
            rows.append([p.patient.code, *[None] * (len(columns) - 2), "not counted yet"])
            continue
        rate = None if r.cacs_per_100ul is None else f"{r.cacs_per_100ul:.2f} ({r.cacs_per_100ul_low:.2f}–{r.cacs_per_100ul_high:.2f})"
        cacs = f"{r.cacs}" + (f" ({r.cacs_balanced_polyploid} polyploid)" if r.cacs_balanced_polyploid else "")
        volume = "unknown" if r.blood_volume_ul is None else f"{r.blood_volume_ul:g}"
        rows.append(
            [p.patient.code, f"{r.evaluable} of {r.cells}", *(r.classes.get(c, 0) for c in classes), cacs, volume, rate, _verdict(r)]
        )
    return table(None, columns, rows, caption="Research use only.")


def _verdict(result: Any) -> str:
    style = {"increased": "bold red", "not increased": "green"}
    colour = next((s for start, s in style.items() if result.verdict.startswith(start)), "yellow")
    text = f"[{colour}]{result.verdict}[/]"
    if result.verdict != result.verdict_without_polyploid:
        text += f"\n[dim]without polyploids: {result.verdict_without_polyploid}[/]"
    if result.frames_failed:
        text += f"\n[yellow]{result.frames_failed} of {result.frames} frames missing[/]"
    return text


def _record(summary: PatientSummary) -> dict[str, Any]:
    result = summary.result
    base = {"patient": summary.patient.code, "slides": summary.slides}
    if result is None:
        return base | {"frames": summary.frames, "verdict": None}
    return base | {name: value for name, value in result.model_dump().items() if name not in ("patient_id",)}


def _csv(records: Sequence[dict[str, Any]]) -> str:
    import csv
    import io

    flat = []
    for record in records:
        row = {k: v for k, v in record.items() if not isinstance(v, dict | list)}
        for prefix in ("classes", "exclusions"):
            row |= {f"{prefix}_{name}": n for name, n in (record.get(prefix) or {}).items()}
        flat.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(k for row in flat for k in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _cells_table(records: Sequence[dict[str, Any]]) -> None:
    if not records:
        say("no such cells")
        return
    hidden = {"run_id", "segment_run_id", "patient", "needs_review", "evaluable", "is_cac", "margin"}
    probes = [k for k in records[0] if k in ("aqua", "green", "gold", "red")]
    columns = [k for k in records[0] if k not in hidden]
    numeric = {"label", "y", "x", "area_px", "cell_id", *probes}
    rows = [[_cell_text(record.get(k)) for k in columns] for record in records]
    stdout.print(table(None, [(c, "right") if c in numeric else c for c in columns], rows, caption=f"{len(records)} cells"))


def _cell_text(value: Any) -> str:
    return "" if value is None else f"{value:.0f}" if isinstance(value, float) else str(value)


def _deliver_json(value: Any, out: Path | None) -> None:
    if out is None:
        print_json(value)
        return
    import json

    _deliver_text(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n", out)


def _deliver_text(text: str, out: Path | None) -> None:
    import sys

    from cacapp.steps.files import write_atomically

    if out is None:
        sys.stdout.write(text)
    else:
        write_atomically(out, text.encode())


def _write_parquet(records: Sequence[dict[str, Any]], out: Path | None) -> None:
    import io

    import pyarrow
    from pyarrow import parquet

    from cacapp.steps.files import write_atomically

    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(records)), file)
    assert out is not None, "checked by the command"
    write_atomically(out, file.getvalue())
