"""Step ``train``: train a model on pseudo-labels, and register it with its lineage."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from sqlmodel import Session

from cacapp import __version__
from cacapp.api import TrainableSegmenter
from cacapp.db.cells.pseudo_labels import STEP as PSEUDO_LABEL
from cacapp.db.cells.pseudo_labels import accepted_count, pseudo_label_run
from cacapp.db.engine.session import Database
from cacapp.db.models import FIGURES, LINEAGE, find_model, register
from cacapp.db.queries import latest_run_ids
from cacapp.db.runs.ledger import fingerprint, frames_in_state, get_run
from cacapp.db.tables import Model, Run, Slide
from cacapp.exceptions import CacappError, UsageError
from cacapp.host import Host, Registered
from cacapp.report.curves import curves_svg
from cacapp.runs.files import make_folder, write_atomically
from cacapp.runs.progress import Progress, Silent
from cacapp.runs.select import select_slides
from cacapp.runs.training import train_segmenter, training_settings
from cacapp.steps.learning.pseudo_samples import PseudoSamples
from cacapp.weights.digest import sha256_of
from cacapp.weights.registry import entries

LOG, CURVES = "log.jsonl", "curves.svg"
"""Files in a training's folder: one line of numbers per epoch, and their plot."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """The segmenter to train, its parameters, and the seed of everything random."""

    segmenter: str = "maskrcnn"
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained model.

    Attributes:
        folder: holds the weights, log.jsonl and curves.svg.
        runs: the pseudo-label runs it was trained on; ``labels``: their accepted nuclei.
        repeated: an earlier call did exactly this.
    """

    model: Model
    folder: Path
    runs: tuple[int, ...]
    labels: int
    repeated: bool


def train(
    db: Database,
    host: Host,
    plan: TrainPlan,
    run_ids: Sequence[int] = (),
    *,
    barcodes: Sequence[str] = (),
    patient: str | None = None,
    name: str | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train on the pseudo-labels of runs (by default the latest of each slide, or of those named) and register the model.

    A model of that name from the same inputs is not trained again. An interrupted training resumes from its checkpoint.

    Args:
        name: of the model; by default made of the segmenter's name and the fingerprint.
        out: folder of the training, models/NAME by default.

    Raises:
        UsageError: an unknown run, slide, segmenter or parameter, or a name that is taken.
        CacappError: there are no pseudo-labels or none is accepted, or the training failed.
    """
    progress = progress or Silent()
    found, trainer = _trainer(host, plan)
    with db.reading() as session:
        run_ids = tuple(dict.fromkeys(run_ids)) or _latest(session, barcodes, patient)
        lineage = _lineage(session, run_ids)
        record = _record(found, trainer)
        key = fingerprint(step="train", inputs=[run["fingerprint"] for run in lineage], algorithm=record, seed=plan.seed)
        name = _checked(name or f"{plan.segmenter}-{key[:8]}")
        known = find_model(session, name)
        known = known if known is not None and known.name == name else None
    labels = sum(run["accepted"] for run in lineage)
    if known is not None:
        if known.metrics.get("fingerprint") != key:
            raise UsageError(f"--name {name}: a model of that name was trained on something else; choose another name")
        if Path(known.path).is_file() and sha256_of(Path(known.path)) == known.sha256:
            return TrainingResult(known, Path(known.path).parent, run_ids, labels, repeated=True)
    samples = PseudoSamples.of_runs(db, run_ids, plan.seed)
    folder = (out if out is not None else Path("models") / name).resolve()
    make_folder(folder)
    path = train_segmenter(found, trainer, samples, folder, plan.seed, progress)
    rows = _log(folder / LOG)
    if rows:
        write_atomically(folder / CURVES, curves_svg(rows, name).encode())
    metrics = {
        "fingerprint": key,
        "algorithm": record,
        "seed": plan.seed,
        "app_version": __version__,
        FIGURES: _figures(rows),
        LINEAGE: lineage,
    }
    with db.session() as session:
        model = register(
            session,
            name=name,
            kind=plan.segmenter,
            path=path,
            sha256=sha256_of(path),
            trained_from_run_id=run_ids[0],
            metrics=metrics,
        )
        session.refresh(model)
        session.expunge(model)
    return TrainingResult(model, folder, run_ids, labels, repeated=False)


def _trainer(host: Host, plan: TrainPlan) -> tuple[Registered, TrainableSegmenter]:
    found = host.find("segmenter", plan.segmenter)
    if not issubclass(found.cls, TrainableSegmenter):
        able = [r.name for r in host.algorithms("segmenter") if issubclass(r.cls, TrainableSegmenter)]
        raise UsageError(f"--model {plan.segmenter}: this segmenter cannot be trained; {', '.join(able) or 'none'} can")
    return found, cast(TrainableSegmenter, host.build("segmenter", plan.segmenter, plan.params))


def _record(found: Registered, trainer: TrainableSegmenter) -> dict[str, Any]:
    """Return the algorithm as the lineage stores it."""
    params = training_settings(trainer)
    return {"kind": "segmenter", "name": found.name, "distribution": found.distribution, "version": found.version, "params": params}


def _latest(session: Session, barcodes: Sequence[str], patient: str | None) -> tuple[int, ...]:
    slides = select_slides(session, barcodes, patient)
    latest = latest_run_ids(session, PSEUDO_LABEL, [slide.id for slide in slides])
    if not latest:
        raise CacappError("there are no pseudo-labels of these slides yet; make some with: cacapp pseudo-label")
    missing = [slide.barcode for slide in slides if slide.id not in latest]
    if barcodes and missing:
        raise CacappError(f"slide {missing[0]} has no pseudo-labels yet; make some with: cacapp pseudo-label --slide {missing[0]}")
    return tuple(latest[slide_id] for slide_id in sorted(latest))


def _lineage(session: Session, run_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return what the model is trained on, run by run: filters, prompts and masks, and the frames with their digests."""
    lineage = []
    for run_id in run_ids:
        run = pseudo_label_run(session, run_id)
        source = get_run(session, cast(int, run.source_run_id))
        lineage.append(
            {
                "run": run_id,
                "fingerprint": run.fingerprint,
                "slide": session.get_one(Slide, run.slide_id).barcode,
                "accepted": accepted_count(session, [run_id]),
                "judges": run.algorithms.get("chosen", []),
                "min_agreement": run.params.get(PSEUDO_LABEL, {}).get("min_agreement", 0),
                "masks": _masks(source),
                "frames": [{"name": frame.name, "sha256": frame.sha256} for frame in frames_in_state(session, run_id, "done")],
            }
        )
    return lineage


def _masks(run: Run) -> dict[str, Any]:
    """Return the segmentation that the labels were chosen from."""
    chosen = [one for one in run.algorithms.get("chosen", []) if one["kind"] in ("prompter", "segmenter")]
    return {"run": run.id, "fingerprint": run.fingerprint, "algorithms": chosen, "weights_sha256": run.weights_sha256}


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise UsageError(f"--name {name!r}: use letters, digits, - and _, 64 at most")
    if name in entries():
        raise UsageError(f"--name {name}: weights that come with cacapp are called so; choose another name")
    return name


def _log(path: Path) -> list[dict[str, float]]:
    """Return the numbers of each epoch, if the training wrote any."""
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError):
        return []
    numbers = [{k: float(v) for k, v in row.items() if isinstance(v, int | float)} for row in rows if isinstance(row, dict)]
    return [row for row in numbers if "epoch" in row]


def _figures(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the number of epochs, the loss of the last one, and the best of each figure on the validation images."""
    if not rows:
        return {}
    measured = [name for name in rows[-1] if "@" in name or "dice" in name.lower() or "iou" in name.lower()]
    best = {name: max(row[name] for row in rows if name in row) for name in measured}
    return {"epochs": int(rows[-1]["epoch"]), "loss": rows[-1].get("loss"), **best}
