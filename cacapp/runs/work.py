"""A command's work as data: the steps and their settings, kept in the database so that it can be gone on with as it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sqlmodel import Session

from cacapp.db.cells.pseudo_labels import STEP as PSEUDO_LABEL
from cacapp.db.tables import Run, Slide
from cacapp.exceptions import CacappError
from cacapp.fish.assay.read import parse_assay
from cacapp.runs.plan import MIN_EVALUABLE, CountPlan, PseudoLabelPlan, SegmentPlan, SlideRequest

HOW = ("retries", "frame_timeout_s", "force", "excluded_plugins")
"""Settings that do not change what the work is."""


@dataclass(frozen=True, slots=True)
class Work:
    """The steps of a command, each where there is a plan for it, in the order of the attributes.

    Attributes:
        command: its name.
        slides: to ingest.
        barcodes, patient: of what is in the database, where nothing is ingested.
        run_id: the segmentation whose masks are judged; None: the latest.
        out: folder of the reports; None: none are written.
        retries, frame_timeout_s: of a frame, see ``cacapp.engine.Engine``.
        force: anew, whatever was done before.
        excluded_plugins: kept out.
    """

    command: str
    slides: tuple[SlideRequest, ...] = ()
    barcodes: tuple[str, ...] = ()
    patient: str | None = None
    segment: SegmentPlan | None = None
    pseudo_label: PseudoLabelPlan | None = None
    run_id: int | None = None
    count: CountPlan | None = None
    out: Path | None = None
    retries: int = 1
    frame_timeout_s: float | None = None
    force: bool = False
    excluded_plugins: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """All of it, as JSON has it; paths are absolute."""
        kept: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "command"}
        kept["slides"] = [_plain(s) | {"paths": list(s.paths)} for s in self.slides]
        kept["out"] = None if self.out is None else str(self.out.absolute())
        for name in ("segment", "pseudo_label"):
            plan = getattr(self, name)
            kept[name] = None if plan is None else _plain(plan)
        if self.count is not None:
            kept["count"] = _plain(self.count) | {"assay": self.count.assay.toml()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}

    @classmethod
    def of(cls, command: str, settings: Mapping[str, Any]) -> Work:
        """What ``settings`` gave.

        Raises:
            CacappError: they are of another version of cacapp.
        """
        kept = dict(settings)
        try:
            slides = tuple(SlideRequest(**(s | {"paths": tuple(s["paths"])})) for s in kept.pop("slides"))
            counting = kept.pop("count")
            plan = None if counting is None else CountPlan(**(counting | {"assay": parse_assay(counting["assay"], "of the request")}))
            segmenting, judging, out = kept.pop("segment"), kept.pop("pseudo_label"), kept.pop("out")
            kept |= {name: tuple(kept[name]) for name in ("barcodes", "excluded_plugins")}
            return cls(
                command,
                slides=slides,
                segment=None if segmenting is None else SegmentPlan(**segmenting),
                pseudo_label=None if judging is None else PseudoLabelPlan(**judging),
                count=plan,
                out=None if out is None else Path(out),
                **kept,
            )
        except (KeyError, TypeError) as error:
            raise CacappError(f"{command}: begun by another version of cacapp ({error}); give the command again") from error


def work_of(session: Session, run: Run) -> Work:
    """The work of a run that no command is recorded for: its own step, with the parameters it recorded."""
    records = tuple(run.algorithms.get("chosen", []))
    names = {
        kind: tuple(r["name"] for r in records if r["kind"] == kind) for kind in ("prompter", "segmenter", "filter", "signal-detector")
    }
    barcodes = (session.get_one(Slide, run.slide_id).barcode,)
    params = {name: values for name, values in run.params.items() if isinstance(values, dict) and name != PSEUDO_LABEL}
    if run.step == "segment":
        prompter = {"prompter": names["prompter"][0]} if names["prompter"] else {}
        plan = SegmentPlan(
            segmenter=names["segmenter"][0], filters=names["filter"], params=params, seed=run.seed, recorded=records, **prompter
        )
        return Work(run.step, barcodes=barcodes, segment=plan)
    if run.step == "count":
        assay = parse_assay(run.assay_toml or "", f"of run {run.id}")
        (detector,) = names["signal-detector"]
        limit = run.params.get(MIN_EVALUABLE)
        return Work(run.step, barcodes=barcodes, count=CountPlan(assay, detector, params.get(detector, {}), limit, records))
    if run.step == PSEUDO_LABEL:
        own = run.params[PSEUDO_LABEL]
        judged = PseudoLabelPlan(names["filter"], tuple(own["prompters"]), own["min_agreement"], params, records)
        return Work(run.step, barcodes=barcodes, pseudo_label=judged, run_id=run.source_run_id)
    raise CacappError(f"run {run.id} is a {run.step} run, which is not gone on with here; give its command again")


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass' fields, tuples as lists."""
    found = {f.name: getattr(value, f.name) for f in fields(value)}
    return {name: [*v] if isinstance(v, tuple) else v for name, v in found.items()}
