"""``cacapp report``, ``patients`` and ``cells``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cacapp.cli import options as o
from cacapp.cli.console import as_json, print_json, progress, say, say_warning
from cacapp.cli.console import out as stdout
from cacapp.cli.patients import WIDE, Line, older_code_record, patient_record, patients_csv, print_patients_table
from cacapp.cli.tables import Column, Value, print_table
from cacapp.exceptions import UsageError

if TYPE_CHECKING:
    from cacapp.db.cells.queries import CellRow
    from cacapp.db.engine.session import Database
    from cacapp.db.tables import PatientResult
    from cacapp.results.error_budget import Pools

Out = Annotated[Path | None, typer.Option("--out", help="File to write (html: folder); standard output by default.")]


def report(
    patient: Annotated[list[str] | None, typer.Option("--patient", help="Patient; may be repeated. All by default.")] = None,
    form: Annotated[str, typer.Option("--format", metavar="table|json|csv|html", help="Output format.")] = "table",
    out: Out = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Report the patients' results by assay: a table, JSON, CSV, or an HTML page for each with pictures."""
    form = "json" if json and form == "table" else form
    if form not in ("table", "json", "csv", "html"):
        raise UsageError(f"--format {form}: choose one of table, json, csv, html")
    if form != "html":
        _print_results(db, patient or (), form, out, quiet)
        return
    from cacapp.db.engine.session import open_database
    from cacapp.results.patient import patients_with_results
    from cacapp.steps.report.write import write_reports

    record = open_database(db, create=False)
    with progress(quiet) as bar:
        pages = write_reports(record, out or Path("reports"), patient or (), bar)
    _warn_of_older_code(record, [r for p in patients_with_results(record, patient or ()) for r in p.results], quiet)
    if json:
        print_json([str(page) for page in pages])
    for page in pages:
        say(str(page), quiet or json)


def patients(patient: o.PatientFilter = None, db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Patients, a row for each assay: evaluable cells, classes, CACs, CACs per 100 µL, verdict; the same after review, and who signed."""
    _print_results(db, [patient] if patient else (), "json" if json else "table", None, quiet)


def cells(
    patient: o.PatientFilter = None,
    slide: o.SlideFilter = None,
    class_: Annotated[str | None, typer.Option("--class", help="Only this class, e.g. cac.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Largest number of rows.")] = None,
    form: Annotated[str, typer.Option("--format", metavar="table|csv|json|parquet", help="Output format.")] = "table",
    out: Out = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """List cells with counts per probe, class and the reason for an exclusion."""
    from cacapp.db.cells.queries import cells as query
    from cacapp.db.engine.session import open_database
    from cacapp.db.queries import missing_frames
    from cacapp.steps.export import cells_csv

    form = "json" if json and form == "table" else form
    if form not in ("table", "csv", "json", "parquet"):
        raise UsageError(f"--format {form}: choose one of table, csv, json, parquet")
    if form == "parquet" and out is None:
        raise UsageError("--format parquet needs a file: add --out cells.parquet")
    with open_database(db, create=False).reading() as session:
        rows = query(session, patient=patient, slide=slide, class_=class_, limit=limit)
        missing = missing_frames(session, [slide] if slide else None, patient)
    for one in missing:
        say_warning(str(one), quiet)
    records = [row.as_dict() for row in rows]
    if form == "json":
        _deliver_json(records, out)
    elif form == "csv":
        _deliver_text(cells_csv(rows), out)
    elif form == "parquet":
        _write_parquet(records, out)
    else:
        _print_cells_table(rows, quiet)


def print_patients(db: str | None, codes: Sequence[str] = ()) -> None:
    """Print the table of patients."""
    _print_results(db, list(dict.fromkeys(codes)), "table", None, False)


def _print_results(db: str | None, codes: Sequence[str], form: str, out: Path | None, quiet: bool) -> None:
    from cacapp.db.engine.session import open_database
    from cacapp.results.extras import extras_of
    from cacapp.results.patient import patients_with_results
    from cacapp.results.renewal import renewals

    record = open_database(db, create=False)
    found = patients_with_results(record, codes)
    with record.reading() as session:
        pools: Pools = {}
        lines = [
            Line(p, r, extras_of(session, r, pools), () if r is None else renewals(session, r.count_run_ids))
            for p in found
            for r in p.lines
        ]
    _warn_of_older_code(record, [line.result for line in lines if line.result is not None], quiet)
    if form == "json":
        _deliver_json([patient_record(line) | {"older_code": older_code_record(line.older)} for line in lines], out)
    elif form == "csv":
        _deliver_text(patients_csv([patient_record(line) for line in lines]), out)
    elif not lines:
        say("no patients yet; add slides with: cacapp ingest", quiet)
    elif not quiet:
        print_patients_table(lines)


def _warn_of_older_code(record: Database, results: Sequence[PatientResult], quiet: bool) -> None:
    """Name the slides whose counts are of older code, and the commands that renew the results."""
    from cacapp.results.renewal import renewals

    with record.reading() as session:
        for one in renewals(session, [run_id for result in results for run_id in result.count_run_ids]):
            say_warning(str(one), quiet)


def _print_cells_table(found: Sequence[CellRow], quiet: bool) -> None:
    if not found or quiet:
        say("no such cells", quiet)
        return
    probes = list(dict.fromkeys(name for row in found for name in row.counts))
    wide = stdout.width >= WIDE
    columns: list[Column] = [*(["patient"] if wide else []), "slide", "frame", ("cell", "right"), ("y, px", "right"), ("x, px", "right")]
    columns += [("area, px", "right"), *([(p, "right") for p in probes] if wide else ["signals"] if probes else []), "class", "remarks"]
    rows: list[list[Value]] = []
    for row in found:
        numbers: list[Value] = [row.counts.get(p) for p in probes]
        if not wide and probes:
            numbers = ["-".join(str(row.counts.get(p, "?")) for p in probes)]
        place: list[Value] = [
            *([row.patient] if wide else []),
            row.slide,
            row.frame,
            row.label,
            f"{row.y:.0f}",
            f"{row.x:.0f}",
            row.area_px,
        ]
        rows.append([*place, *numbers, row.class_, _remarks(row)])
    order = f"; signals: {'-'.join(probes)}" if probes and not wide else ""
    print_table(columns, rows, airy=False, caption=f"{len(found)} cell{'s' * (len(found) != 1)}{order}")


def _remarks(row: CellRow) -> str:
    """Return remarks on a cell: exclusion, subtype, reason for review, probability of a CAC and what leaves it open."""
    review = f"review: {row.review_reason or 'yes'}" if row.needs_review else None
    known = f"p(CAC) {row.p_cac:.2f}" if row.p_cac is not None and (row.needs_review or row.is_cac) else None
    excluded = None if row.evaluable else f"not evaluable: {row.exclusion_reason or 'no reason stored'}"
    subtype = row.subtype.replace("_", " ") if row.subtype else None
    return "; ".join(part for part in (excluded, subtype, review, known, row.p_terms if row.needs_review else None) if part)


def _deliver_json(value: Any, out: Path | None) -> None:
    _deliver_text(as_json(value), out)


def _deliver_text(text: str, out: Path | None) -> None:
    import sys

    from cacapp.runs.files import write_atomically

    if out is None:
        sys.stdout.write(text)
    else:
        write_atomically(out, text.encode())


def _write_parquet(records: Sequence[dict[str, Any]], out: Path | None) -> None:
    import io

    import pyarrow
    from pyarrow import parquet

    from cacapp.runs.files import write_atomically

    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(records)), file)
    assert out is not None, "checked by the command"
    write_atomically(out, file.getvalue())
