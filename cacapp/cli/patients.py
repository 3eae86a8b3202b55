"""Patients' results as a table, as records for JSON, and as CSV: a line for each patient and assay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from cacapp.cli.console import out as stdout
from cacapp.cli.tables import Column, Value, print_table

if TYPE_CHECKING:
    from cacapp.db.queries import PatientSummary
    from cacapp.db.tables import PatientResult
    from cacapp.report.result import ResultNumbers
    from cacapp.results.extras import Extras
    from cacapp.results.renewal import Renewal

CLASS_ORDER = ("normal", "loss", "gain", "cac")
WIDE = 110
"""Terminal width in characters from which every count gets a column of its own."""

NEW_LINE = "\n"
PERCENT = "95 %"
"""Confidence of the intervals."""


class Line(NamedTuple):
    """A patient's result by one assay; ``result`` is None where nothing is counted yet. ``older``: its counts that are of older code."""

    patient: PatientSummary
    result: PatientResult | None
    extra: Extras
    older: Sequence[Renewal] = ()


def older_code_record(found: Sequence[Renewal]) -> dict[str, Any] | None:
    """Return the slides of a patient that older code counted, and the commands that count them again; None where there are none."""
    return {"slides": [slide for one in found for slide in one.slides], "renew": [one.command for one in found]} if found else None


def print_patients_table(lines: Sequence[Line]) -> None:
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


def patient_record(line: Line) -> dict[str, Any]:
    summary, result, extra, _ = line
    base = {"patient": summary.patient.code, "slides": summary.slides}
    if result is None:
        return base | {"frames": summary.frames, "verdict": None}
    return base | result.model_dump(exclude={"patient_id"}) | extra.record()


def patients_csv(records: Sequence[dict[str, Any]]) -> str:
    from cacapp.report.csv_export import to_csv

    flat = []
    for record in records:
        row = {k: v for k, v in record.items() if not isinstance(v, dict | list)}
        for prefix in ("classes", "exclusions"):
            row |= {f"{prefix}_{name}": n for name, n in (record.get(prefix) or {}).items()}
        review = record.get("review") or {}
        row |= {name: review.get(name) for name in ("standing", "decided", "changed", "open", "signed_by", "signed_at")}
        row |= {f"reviewed_{k}": v for k, v in (review.get("reviewed") or {}).items() if not isinstance(v, dict | list)}
        flat.append(row)
    return to_csv(list(dict.fromkeys(k for row in flat for k in row)), flat)
