"""Results that rest on counts of older code: which they are, and the commands that count again."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from cacapp import defaults
from cacapp.db.tables import Run, Slide
from cacapp.fish.assay.read import builtin_assays
from cacapp.runs.counting_code import code_digest
from cacapp.runs.environment import COUNTING_CODE
from cacapp.runs.plan import MIN_EVALUABLE


@dataclass(frozen=True, slots=True)
class Renewal:
    """Slides that older code counted, all with the same options; ``command`` counts them again with these."""

    slides: tuple[str, ...]
    command: str

    def __str__(self) -> str:
        one = len(self.slides) == 1
        slides = f"slide {self.slides[0]} was" if one else f"{len(self.slides)} slides were"
        return f"{slides} counted by older code; the result is shown as stored, to renew it: {self.command}"


def renewals(session: Session, count_run_ids: Sequence[int]) -> list[Renewal]:
    """Return what would have to be counted again for results of today's code, by the options of the counts.

    A count is older where the digest of its code is not today's, or none was recorded. Nothing is changed: results stay until the slides
    are counted again.
    """
    older: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for run in session.exec(select(Run).where(col(Run.id).in_(count_run_ids))):
        if run.algorithms.get("environment", {}).get(COUNTING_CODE) != code_digest()[:16]:
            older[_options(run)].append(session.get_one(Slide, run.slide_id).barcode)
    return [Renewal(tuple(slides := sorted(own)), shlex.join(["cacapp", "count", *slides, *options])) for options, own in older.items()]


def _options(run: Run) -> tuple[str, ...]:
    """Return the options of ``cacapp count`` that repeat a run's way of counting; an assay of one's own is named as a file."""
    name, own = str(run.assay_name), run.assay_name not in builtin_assays()
    options = [] if name == defaults.ASSAY else ["--assay", f"{name}.toml" if own else name]
    detector = next((one["name"] for one in run.algorithms.get("chosen", [])), defaults.DETECTOR)
    if detector != defaults.DETECTOR:
        options += ["--detector", detector]
    settings: Mapping[str, Any] = run.params.get(detector, {})
    for key, value in settings.items():
        options += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    if MIN_EVALUABLE in run.params:
        options += ["--min-evaluable", str(run.params[MIN_EVALUABLE])]
    return tuple(options)
