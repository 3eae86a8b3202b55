"""``cacapp report``, ``patients`` and ``cells``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.text import Text

from cacapp.cli import options as o
from cacapp.cli.console import as_json, print_json, progress, say, say_warning
from cacapp.cli.console import out as stdout
from cacapp.cli.tables import Column, Value, print_table
from cacapp.exceptions import UsageError

if TYPE_CHECKING:
    from cacapp.db.cells.queries import CellRow
    from cacapp.db.engine.session import Database
    from cacapp.db.queries import PatientSummary
    from cacapp.db.tables import PatientResult
    from cacapp.report.result import ResultNumbers
    from cacapp.results.error_budget import Pools
    from cacapp.results.extras import Extras
    from cacapp.results.renewal import Renewal

CLASS_ORDER = ("normal", "loss", "gain", "cac")
WIDE = 110
"""Terminal width in characters from which every count gets a column of its own."""

NEW_LINE = "\n"
PERCENT = "95 %"
"""Confidence of the intervals."""

Out = Annotated[Path | None, typer.Option("--out", help="File to write (html: folder); standard output by default.")]


def report(
    patient: Annotated[list[str] | None, typer.Option("--patient", help="Patient; may be repeated. All by default.")] = None,
    form: Annotated[str, typer.Option("--format", metavar="table|json|csv|html", help="What is printed or written.")] = "table",
    out: Out = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """The patients' results by assay: a table, JSON, CSV, or an HTML page for each with pictures."""
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
    _warn_of_older_code(record, patients_with_results(record, patient or ()), quiet)
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
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many rows.")] = None,
    form: Annotated[str, typer.Option("--format", metavar="table|csv|json|parquet", help="What is printed or written.")] = "table",
    out: Out = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Cells with counts per probe, class and why they were excluded."""
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
    """The table of patients."""
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
            Line(p, r, extras_of(session, r, pools), [] if r is None else renewals(session, r.count_run_ids)) for p in found for r in p.lines
        ]
        older = renewals(session, [run_id for line in lines if line.result is not None for run_id in line.result.count_run_ids])
    for one in older:
        say_warning(str(one), quiet)
    if form == "json":
        _deliver_json([_record(line) | {"older_code": _older_code(line.older)} for line in lines], out)
    elif form == "csv":
        _deliver_text(_csv([_record(line) for line in lines]), out)
    elif not lines:
        say("no patients yet; add slides with: cacapp ingest", quiet)
    elif not quiet:
        _print_patients_table(lines)


class Line(NamedTuple):
    """A patient's result by one assay; ``result`` is None where nothing is counted yet. ``older``: its counts that are of older code."""

    patient: PatientSummary
    result: PatientResult | None
    extra: Extras
    older: Sequence[Renewal] = ()


def _older_code(found: Sequence[Renewal]) -> dict[str, Any] | None:
    """Return the slides of a patient that older code counted, and the commands that count them again; None where there are none."""
    return {"slides": [slide for one in found for slide in one.slides], "renew": [one.command for one in found]} if found else None


def _print_patients_table(lines: Sequence[Line]) -> None:
    results = [line.result for line in lines if line.result is not None]
    classes = list(dict.fromkeys(name for r in results for name, n in r.classes.items() if n or name in CLASS_ORDER))
    classes.sort(key=lambda name: (CLASS_ORDER.index(name) if name in CLASS_ORDER else len(CLASS_ORDER), name))
    wide = stdout.width >= WIDE
    assays = dict.fromkeys(r.assay for r in results)
    several = len(assays) > 1  # one assay alone stands below the table
    columns: list[Column] = [
        "patient,\nassay" if several and not wide else "patient",
        *(["assay"] if several and wide else []),
        ("evaluable\ncells", "right"),
    ]
    columns += [(c, "right") for c in classes] if wide else [("classes", "right")]
    columns += [
        ("CACs", "right"),
        ("blood,\nµL", "right"),
        (f"CACs per 100 µL\n({PERCENT} interval)" if wide else f"CACs per\n100 µL\n({PERCENT})", "right"),
        "verdict",
    ]
    human = "reviewed:" if wide else "→"
    rows: list[list[Value]] = []
    for line in lines:
        code, r, extra = line.patient.patient.code, line.result, line.extra
        if r is None:
            rows.append([code, *[None] * (len(columns) - 2), Text("not counted yet", "yellow")])
            continue
        after = extra.reviewed
        polyploid = f"{NEW_LINE}({r.cacs_balanced_polyploid} polyploid)" if r.cacs_balanced_polyploid else ""
        numbers: list[Value] = [r.classes.get(c, 0) for c in classes]
        if not wide:
            numbers = ["\n".join(f"{r.classes.get(c, 0)} {c}" for c in classes) + polyploid]
        rate = None
        if r.cacs_per_100ul is not None:
            rate = _rate(r, wide)
            if after is not None:
                rate = f"{rate}{NEW_LINE}{human} {_rate(after, wide)}"
        false = "" if extra.false_cacs is None else f"{NEW_LINE}{_false_cacs(extra.false_cacs, wide)}"
        reviewed = "" if after is None else f"{NEW_LINE}{human} {after.cacs}"
        cacs = f"{r.cacs}{polyploid if wide else ''}{false}{reviewed}"
        volume = "unknown" if r.blood_volume_ul is None else f"{r.blood_volume_ul:g}"
        name = [code] if not several else [code, r.assay] if wide else [f"{code}{NEW_LINE}{r.assay}"]
        rows.append([*name, f"{r.evaluable} of {r.cells}", *numbers, cacs, volume, rate, _verdict(r, extra)])
    note = f"Assay {next(iter(assays))}. " if len(assays) == 1 else ""
    if not wide and any(line.extra.reviewed for line in lines):
        note += "→ after review. "
    if not wide and any(line.extra.false_cacs for line in lines):
        note += f"False expected: up to the end of the {PERCENT} interval. "
    print_table(columns, rows, caption=f"{note}Research use only.")


def _rate(numbers: PatientResult | ResultNumbers, wide: bool) -> str:
    """CACs per 100 µL with their interval."""
    low, high = numbers.cacs_per_100ul_low, numbers.cacs_per_100ul_high
    return f"{numbers.cacs_per_100ul:.2f}{' ' if wide else NEW_LINE}({low:.2f}–{high:.2f})"


def _false_cacs(budget: dict[str, Any], wide: bool) -> str:
    """Return how many false CACs to expect, with the upper end of the interval; a narrow table names the interval in its caption."""
    by = f" by the {PERCENT} interval" if wide else ""
    return f"({budget['expected']:.2g} false expected,{NEW_LINE}up to {budget['expected_high']:.3g}{by})"


def _toned(verdict: str) -> Text:
    style = {"increased": "bold red", "not increased": "green"}
    return Text(verdict, next((s for start, s in style.items() if verdict.startswith(start)), "yellow"))


def _verdict(result: PatientResult, extra: Extras) -> Text:
    """The software's verdict, the one after review, and how far the review is."""
    text = _toned(result.verdict)
    if extra.verdict is not None:
        text.append("\nreviewed: ", "not bold default").append_text(_toned(extra.verdict))
    if extra.standing:
        text.append(f"\n{extra.standing}", "not bold default")
    if result.verdict != result.verdict_without_polyploid:
        text.append(f"\nwithout polyploids: {result.verdict_without_polyploid}", "dim not bold default")
    if result.frames_failed:
        text.append(f"\n{result.frames_failed} of {result.frames} frames missing", "not bold yellow")
    for line in extra.remarks:
        text.append(f"\n{line}", "not bold yellow")
    return text


def _record(line: Line) -> dict[str, Any]:
    summary, result, extra, _ = line
    base = {"patient": summary.patient.code, "slides": summary.slides}
    if result is None:
        return base | {"frames": summary.frames, "verdict": None}
    return base | result.model_dump(exclude={"patient_id"}) | extra.record()


def _csv(records: Sequence[dict[str, Any]]) -> str:
    import csv
    import io

    flat = []
    for record in records:
        row = {k: v for k, v in record.items() if not isinstance(v, dict | list)}
        for prefix in ("classes", "exclusions"):
            row |= {f"{prefix}_{name}": n for name, n in (record.get(prefix) or {}).items()}
        review = record.get("review") or {}
        row |= {name: review.get(name) for name in ("standing", "decided", "changed", "open", "signed_by", "signed_at")}
        row |= {f"reviewed_{k}": v for k, v in (review.get("reviewed") or {}).items() if not isinstance(v, dict | list)}
        flat.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(k for row in flat for k in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


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
    """What a person should know of a cell beyond its class."""
    review = f"review: {row.review_reason or 'yes'}" if row.needs_review else None
    excluded = None if row.evaluable else f"not evaluable: {row.exclusion_reason or 'no reason stored'}"
    subtype = row.subtype.replace("_", " ") if row.subtype else None
    return "; ".join(part for part in (excluded, subtype, review) if part)


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
