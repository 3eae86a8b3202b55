"""A database for notebooks, read-only: patients, slides, cells, counts and signals as Arrow tables.

import cacapp
with cacapp.open("cacapp.db") as record:
    record.cells(slide="S01").to_pandas()
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

    from cacapp.db.cells.queries import CellRow
    from cacapp.db.engine.session import Database, Session


def open(url_or_path: str | Path | None = None) -> Record:
    """Open a database to read it.

    Args:
        url_or_path: a SQLite file or a SQLAlchemy URL; None: what ``CACAPP_DB`` says, else ``cacapp.db`` here.

    Raises:
        CacappError: there is none, or it is of another schema.
    """
    from cacapp.db.engine.session import open_database

    return Record(open_database(url_or_path, create=False))


class Record:
    """An open database. Each method answers one question as a ``pyarrow.Table`` (``.to_pandas()``, ``.to_pylist()``).

    Results are those of each slide's latest finished run, as ``cacapp cells`` and ``cacapp patients`` show them. A column has its name and
    type even where the table is empty. Raises CacappError (UsageError for a patient or slide that is not there), in one line.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Record:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<cacapp record {self._database}>"

    def close(self) -> None:
        """Close the connections."""
        self._database.dispose()

    def patients(self) -> pyarrow.Table:
        """Return a row for each patient and assay, the newest result of a patient first.

        Columns: evaluable cells, CACs and CACs per 100 µL (95 % interval) with verdict, by the software and, as ``reviewed_...``, after
        review (None where nobody has reviewed); ``standing``: how far the review is; ``class_NAME``: evaluable cells of each class.
        A patient without a count has one row, with None for numbers.
        """
        from cacapp.results.error_budget import Pools
        from cacapp.results.extras import extras_of
        from cacapp.results.patient import patients_with_results

        rows = []
        lines = [(summary, result) for summary in patients_with_results(self._database) for result in summary.lines]
        classes = dict.fromkeys(name for _, result in lines if result for name in result.classes)
        with self._database.reading() as session:
            pools: Pools = {}
            for summary, result in lines:
                extra = extras_of(session, result, pools)
                row = {
                    "patient": summary.patient.code,
                    "slides": summary.slides,
                    "frames": summary.frames,
                    "standing": extra.standing or None,
                }
                row |= {name: getattr(result, name, None) for name in (*_ASSAY, *_NUMBERS, "blood_volume_ul", "verdict")}
                row |= {f"reviewed_{name}": getattr(extra.reviewed, name, None) for name in _NUMBERS}
                row["reviewed_verdict"] = extra.verdict
                row |= {f"class_{name}": None if result is None else result.classes.get(name) for name in classes}
                rows.append(row)
        return _table(rows, _PATIENT, extra="int64")

    def slides(self) -> pyarrow.Table:
        """Return a row for each slide by barcode: patient, blood volume in µL, frames, and the runs that its cells and counts are of."""
        from cacapp.db.queries import latest_run_ids, slides

        with self._database.reading() as session:
            found = slides(session)
            ids = [s.slide.id for s in found if s.slide.id is not None]
            segmented, counted = (latest_run_ids(session, step, ids) for step in ("segment", "count"))
            rows = [
                {
                    "patient": s.patient,
                    "slide": s.slide.barcode,
                    "blood_volume_ul": s.slide.blood_volume_ul,
                    "frames": s.frames,
                    "notes": s.slide.notes,
                    "segment_run_id": segmented.get(s.slide.id or 0),
                    "count_run_id": counted.get(s.slide.id or 0),
                }
                for s in found
            ]
        return _table(rows, _SLIDE)

    def cells(self, *, patient: str | None = None, slide: str | None = None, class_: str | None = None) -> pyarrow.Table:
        """Return a row for each cell by slide, frame and label.

        Columns: centre and area in px, copies of each probe, class, margin, and why it is not evaluable; ``reviewed_class``,
        ``reviewed_is_cac`` and ``reviewer`` if a person decided.
        """
        with self._database.reading() as session:
            rows = _cells(session, patient, slide, class_)
            decided = _decisions(session, rows)
        records = [row.as_dict() | decided.get((row.run_id, row.cell_id), {}) for row in rows]
        return _table(records, _CELL, extra="int16")

    def counts(self, *, patient: str | None = None, slide: str | None = None, class_: str | None = None) -> pyarrow.Table:
        """Return a row for each cell and probe channel: ``copies`` by the software, zeros too. The long form of ``cells``."""
        with self._database.reading() as session:
            rows = _cells(session, patient, slide, class_)
        records = [
            {
                "patient": row.patient,
                "slide": row.slide,
                "frame": row.frame,
                "label": row.label,
                "cell_id": row.cell_id,
                "channel": channel,
                "copies": copies,
            }
            for row in rows
            for channel, copies in row.counts.items()
        ]
        return _table(records, _COUNT)

    def signals(self, *, patient: str | None = None, slide: str | None = None) -> pyarrow.Table:
        """Return a row for each dot in a nucleus.

        Columns: channel, ``y_px`` and ``x_px`` in the frame, SNR, amplitude in grey values, ``sigma_px`` (its standard deviation), and
        ``reason``, why it does not count.
        """
        from cacapp.db.cells.queries import signals_of_frame
        from cacapp.db.queries import latest_run_ids, slides
        from cacapp.db.slides import frames_of

        records: list[dict[str, Any]] = []
        with self._database.reading() as session:
            found = {s.slide.id: s for s in slides(session, [slide] if slide is not None else None, patient) if s.slide.id is not None}
            for slide_id, run_id in latest_run_ids(session, "count", list(found)).items():
                for frame in frames_of(session, slide_id):
                    where = {"patient": found[slide_id].patient, "slide": found[slide_id].slide.barcode, "frame": frame.name}
                    records += [
                        where
                        | {
                            "cell_id": s.cell_id,
                            "channel": s.channel,
                            "number": s.number,
                            "y_px": s.yx[0],
                            "x_px": s.yx[1],
                            "snr": s.snr,
                            "amplitude": s.amplitude,
                            "sigma_px": s.sigma_px,
                            "counts": s.reason is None,
                            "reason": s.reason,
                        }
                        for s in signals_of_frame(session, run_id, frame.id or 0)
                    ]
        return _table(records, _SIGNAL)


def _cells(session: Session, patient: str | None, slide: str | None, class_: str | None) -> list[CellRow]:
    from cacapp.db.cells.queries import cells

    return cells(session, patient=patient, slide=slide, class_=class_)


def _decisions(session: Session, rows: list[CellRow]) -> dict[tuple[int | None, int], dict[str, Any]]:
    """Return (count run, cell) to a person's decision, as the report shows it."""
    from cacapp.db.review.readings import readings
    from cacapp.results.reviewed import state_of, valid_in_view, view_of

    runs = sorted({row.run_id for row in rows if row.run_id is not None})
    own = readings(session, runs)
    decided: dict[tuple[int | None, int], dict[str, Any]] = {}
    for run_id in own:
        for cell_id, review in valid_in_view(session, run_id, view_of(own[run_id], None)).items():
            state = state_of(review)
            if state.decided:
                decided[run_id, cell_id] = {
                    "reviewed_class": state.label,
                    "reviewed_is_cac": state.evaluable and state.is_cac,
                    "reviewer": review.reviewer,
                }
    return decided


_ASSAY = ("assay_name", "assay_version")
_NUMBERS = (
    *("cells", "evaluable", "needs_review", "cacs", "cacs_balanced_polyploid"),
    *("cacs_per_100ul", "cacs_per_100ul_low", "cacs_per_100ul_high"),
)
_COUNTED = dict.fromkeys(_NUMBERS[:5], "int64") | dict.fromkeys(_NUMBERS[5:], "float64")
_PATIENT = {
    **{"patient": "string", **dict.fromkeys(_ASSAY, "string"), "slides": "int64", "frames": "int64"},
    **_COUNTED,
    **{"blood_volume_ul": "float64", "verdict": "string", "standing": "string"},
    **{f"reviewed_{name}": kind for name, kind in _COUNTED.items()},
    "reviewed_verdict": "string",
}
_SLIDE = {
    **{"patient": "string", "slide": "string", "blood_volume_ul": "float64", "frames": "int64", "notes": "string"},
    **{"segment_run_id": "int64", "count_run_id": "int64"},
}
_CELL = {
    **{"patient": "string", "slide": "string", "frame": "string", "label": "int32", "y": "float64", "x": "float64", "area_px": "int32"},
    **{"class": "string", "subtype": "string", "is_cac": "bool", "margin": "float64", "p_cac": "float64", "p_terms": "string"},
    **{"needs_review": "bool", "review_reason": "string"},
    **{"evaluable": "bool", "exclusion_reason": "string", "duplicate_of": "int64", "run_id": "int64", "segment_run_id": "int64"},
    **{"cell_id": "int64", "reviewed_class": "string", "reviewed_is_cac": "bool", "reviewer": "string"},
}
_COUNT = {
    **{"patient": "string", "slide": "string", "frame": "string", "label": "int32", "cell_id": "int64"},
    **{"channel": "string", "copies": "int16"},
}
_SIGNAL = {
    **{"patient": "string", "slide": "string", "frame": "string", "cell_id": "int64", "channel": "string", "number": "int32"},
    **{"y_px": "float64", "x_px": "float64", "snr": "float64", "amplitude": "float64", "sigma_px": "float64"},
    **{"counts": "bool", "reason": "string"},
}


def _table(records: list[dict[str, Any]], columns: dict[str, str], extra: str = "string") -> pyarrow.Table:
    """Return the records with these columns, and with columns of type ``extra`` that only some records have (probes, classes)."""
    import pyarrow

    beyond = dict.fromkeys(name for record in records for name in record if name not in columns)
    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in {**columns, **dict.fromkeys(beyond, extra)}.items()])
    return pyarrow.Table.from_pylist(records, schema=schema)
