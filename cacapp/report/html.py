"""Render self-contained HTML pages: no script, no external asset, all text escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cacapp.exceptions import UsageError
from cacapp.report import palette, wording
from cacapp.report.patient_page import IndexRow, PatientReport
from cacapp.report.pictured import FlaggedCell, by_urgency

_CLASS_ORDER = ("normal", "gain", "loss", "cac")


def render_html(report: PatientReport) -> str:
    """Return one patient's report as a complete HTML document."""
    flagged = by_urgency(report.flagged)
    groups = [
        ("CAC candidates", "candidates", [c for c in flagged if c.is_cac]),
        ("Cells to review" if report.review is None else "Other flagged cells", "to-review", [c for c in flagged if not c.is_cac]),
    ]
    return (
        _environment()
        .get_template("patient.html.j2")
        .render(
            report=report,
            result=report.result,
            criteria=report.criteria,
            classes=_ordered(report.result.classes),
            exclusions=sorted(report.result.exclusions.items(), key=lambda item: (-item[1], item[0])),
            patterns=sorted(report.patterns, key=lambda p: (-p.cells, p.pattern)),
            groups=groups,
            drawn=sum(bool(c.pictures) for c in flagged),
            frames_drawn=sum(f.picture is not None for f in report.frames),
            caveats=wording.caveats(report),
            budget_sentences=wording.budget_sentences(report.budget, report.controls_left_out),
            criterion=wording.criterion(report.criteria),
            reckoning=wording.reckoning(report.result, report.criteria),
            sentence=wording.verdict_sentence(report.verdict, report.result, report.criteria),
            running_head=_css_string(f"Patient {report.patient_code}"),
        )
    )


def render_index(rows: Sequence[IndexRow]) -> str:
    """Return the page of several patients, one line each in the order given, with a link to each report.

    Raises UsageError for a link that is no plain relative path.
    """
    for row in rows:
        parts = urlsplit(row.href)
        if parts.scheme or parts.netloc or PurePosixPath(row.href).is_absolute() or not row.href:
            raise UsageError(f"report link of patient {row.patient_code!r} must be a path relative to the index, got {row.href!r}")
    names = list(dict.fromkeys(name for row in rows for name, _ in _ordered(row.result.classes)))
    order = {name: i for i, name in enumerate(_CLASS_ORDER)}
    names.sort(key=lambda name: (order.get(name, len(order)), name))
    return (
        _environment()
        .get_template("index.html.j2")
        .render(rows=rows, patients=len({row.patient_code for row in rows}), class_names=names, running_head=_css_string("cacapp"))
    )


def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("cacapp.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    env.filters.update(
        integer=wording.integer,
        number=wording.number,
        moment=wording.moment,
        plain=wording.plain,
        rate=wording.rate,
        interval=wording.interval,
        path=quote,
        where=_where,
        sentence=lambda words: words[:1].upper() + words[1:],
    )
    env.globals.update(
        percent=wording.percent,
        plural=wording.plural,
        standing=wording.standing,
        tone=wording.tone,
        research_use=wording.RESEARCH_USE,
        class_colour=lambda name: palette.css(palette.of_class(name or None)),
        class_colours=palette.CLASSES,
        not_evaluable_colour=palette.css(palette.NOT_EVALUABLE),
        other_colour=palette.css(palette.OTHER_CLASS),
    )
    return env


def _ordered(classes: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the classes in the assay's order, others after them by name."""
    order = {name: i for i, name in enumerate(_CLASS_ORDER)}
    return sorted(classes.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))


def _where(cell: FlaggedCell) -> str:
    return f"slide {cell.slide}, frame {cell.frame}, cell {cell.label}"


def _css_string(text: str) -> Markup:
    """Return a CSS string literal of any text: every character is escaped, so that none can end the string or the element."""
    return Markup('"' + "".join(f"\\{ord(c):06x}" for c in text) + '"')  # noqa: S704 - hex digits and backslashes only
