"""A request: the steps to run on some slides with all their settings, in the form that the database stores to resume it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sqlmodel import Session

from cacapp.db.cells.pseudo_labels import STEP as PSEUDO_LABEL
from cacapp.db.tables import Run, Slide
from cacapp.engine import Engine
from cacapp.exceptions import CacappError, UsageError
from cacapp.fish.assay.read import parse_assay
from cacapp.host import Host
from cacapp.runs.plan import (
    MIN_EVALUABLE,
    CountPlan,
    Parameters,
    PseudoLabelPlan,
    SegmentPlan,
    SlideRequest,
    parameters_by_algorithm,
)


@dataclass(frozen=True, slots=True)
class Execution:
    """Settings that decide how frames are processed, and nothing of the result.

    Attributes:
        retries: how often a frame that failed is tried again before it is quarantined.
        frame_timeout_s: a frame that takes longer fails, s; None: no limit.
        force: repeat what an earlier run already did.
        excluded_plugins: plugins or distributions that are not loaded.
    """

    retries: int = 1
    frame_timeout_s: float | None = None
    force: bool = False
    excluded_plugins: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return _json(self)

    def engine(self, workers: int | None = None, cluster: str | None = None) -> Engine:
        """Return the engine that processes the frames. Raises UsageError for local workers together with a cluster."""
        if cluster is not None and workers is not None:
            raise UsageError("--workers are processes of this machine, --cluster has workers of its own: give one of them")
        return Engine(workers, cluster=cluster, frame_timeout_s=self.frame_timeout_s, retries=self.retries)


@dataclass(frozen=True, slots=True)
class PipelineRequest:
    """The steps to run, in the order of the attributes; a step without a plan is left out.

    Attributes:
        command: the command's name.
        slides: slides to ingest.
        barcodes, patient: slides of the database to work on, where none is ingested.
        run_id: the segmentation whose masks are judged; None: the latest of each slide.
        out: folder of the reports; None: no reports are written.
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
    execution: Execution = Execution()

    def settings(self) -> dict[str, Any]:
        """Return all that decides the result, as JSON values; paths are absolute."""
        return {
            "slides": [_json(slide) for slide in self.slides],
            "barcodes": list(self.barcodes),
            "patient": self.patient,
            "segment": None if self.segment is None else _json(self.segment),
            "pseudo_label": None if self.pseudo_label is None else _json(self.pseudo_label),
            "run_id": self.run_id,
            "count": None if self.count is None else _json(self.count) | {"assay": self.count.assay.toml()},
            "out": None if self.out is None else str(self.out.absolute()),
        }

    @classmethod
    def from_settings(cls, command: str, settings: Mapping[str, Any]) -> PipelineRequest:
        """Return the request that was stored as ``settings``, with those of its execution.

        Raises:
            CacappError: another version of cacapp stored it.
        """
        stored = dict(settings)
        try:
            slides = tuple(SlideRequest(**(slide | {"paths": tuple(slide["paths"])})) for slide in stored.pop("slides"))
            segment, pseudo_label, count, out = (stored.pop(name) for name in ("segment", "pseudo_label", "count", "out"))
            stored |= {name: tuple(stored[name]) for name in ("barcodes", "excluded_plugins")}
            execution = Execution(**{field.name: stored.pop(field.name) for field in fields(Execution)})
            return cls(
                command,
                slides=slides,
                segment=None if segment is None else SegmentPlan(**segment),
                pseudo_label=None if pseudo_label is None else PseudoLabelPlan(**pseudo_label),
                count=None if count is None else CountPlan(**(count | {"assay": parse_assay(count["assay"], "of the request")})),
                out=None if out is None else Path(out),
                execution=execution,
                **stored,
            )
        except (KeyError, TypeError) as error:
            raise CacappError(f"{command}: begun by another version of cacapp ({error}); give the command again") from error


def slides_request(
    host: Host,
    slides: Sequence[SlideRequest],
    segment: SegmentPlan,
    count: CountPlan,
    settings: Sequence[str] | Parameters,
    *,
    out: Path | None,
    execution: Execution,
) -> PipelineRequest:
    """Return the request to take slides through all steps.

    Args:
        settings: parameters of the two plans' algorithms, see ``parameters_by_algorithm``.

    Raises:
        UsageError: an unknown algorithm or parameter, or a value out of range.
    """
    parameters = parameters_by_algorithm(host, [*segment.algorithms(), *count.algorithms()], settings)
    return PipelineRequest(
        "run",
        slides=tuple(slides),
        segment=segment.with_parameters(parameters),
        count=count.with_parameters(parameters),
        out=out,
        execution=execution,
    )


def request_of_run(session: Session, run: Run) -> PipelineRequest:
    """Return a request for a run that was begun without one: its own step, with the parameters that it recorded."""
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
        return PipelineRequest(run.step, barcodes=barcodes, segment=plan)
    if run.step == "count":
        assay = parse_assay(run.assay_toml or "", f"of run {run.id}")
        (detector,) = names["signal-detector"]
        limit = run.params.get(MIN_EVALUABLE)
        return PipelineRequest(run.step, barcodes=barcodes, count=CountPlan(assay, detector, params.get(detector, {}), limit, records))
    if run.step == PSEUDO_LABEL:
        own = run.params[PSEUDO_LABEL]
        judged = PseudoLabelPlan(names["filter"], tuple(own["prompters"]), own["min_agreement"], params, records)
        return PipelineRequest(run.step, barcodes=barcodes, pseudo_label=judged, run_id=run.source_run_id)
    raise CacappError(f"run {run.id} is a {run.step} run, which cannot be resumed here; give its command again")


def _json(value: Any) -> dict[str, Any]:
    """Return a dataclass' fields, tuples as lists."""
    found = {f.name: getattr(value, f.name) for f in fields(value)}
    return {name: [*v] if isinstance(v, tuple) else v for name, v in found.items()}
