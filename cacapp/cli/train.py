"""``cacapp train`` and ``cacapp models list | show``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cacapp.cli import options as o
from cacapp.cli.console import print_json, progress, say
from cacapp.cli.execute import load_plugins
from cacapp.cli.tables import Column, Value, print_table
from cacapp.exceptions import UsageError

if TYPE_CHECKING:
    from cacapp.db.tables import Model
    from cacapp.host import Registered
    from cacapp.steps.learning.train import TrainingResult

ModelKind = Annotated[str, typer.Option("--model", metavar="SEGMENTER", help="Segmenter to train.", rich_help_panel=o.ANALYSIS)]
Runs = Annotated[
    list[int] | None,
    typer.Option("--run", metavar="RUN", help="Pseudo-label run to train on; may be repeated.", show_default="latest of each slide"),
]
Slides = Annotated[list[str] | None, typer.Option("--slide", help="Train on this slide's latest run; may be repeated.")]
Name = Annotated[str | None, typer.Option("--name", help="Name of the model.", show_default="segmenter and fingerprint")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Folder of the training.", show_default="models/NAME")]
Device = Annotated[str | None, typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Where to train.", rich_help_panel=o.ANALYSIS)]

NAMED = 6
"""Frames of a run that ``models show`` names; the others it counts."""

app = typer.Typer(help="Trained models: what they were trained on, and which runs use them.", no_args_is_help=True)


def train(
    model: ModelKind = "maskrcnn",
    runs: Runs = None,
    slides: Slides = None,
    patient: o.PatientFilter = None,
    name: Name = None,
    out: Out = None,
    settings: o.Set = None,
    seed: o.Seed = 0,
    device: Device = None,
    no_plugin: o.NoPlugin = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a segmenter on pseudo-labels, and register it under a name.

    Repeat the command to resume an interrupted training. Use the model with: cacapp segment --segmenter SEGMENTER --set
    weights=NAME
    """
    from cacapp.db.engine.session import open_database
    from cacapp.host import assign
    from cacapp.steps.learning.train import TrainPlan
    from cacapp.steps.learning.train import train as step

    if runs and (slides or patient):
        raise UsageError("--run names the pseudo-labels already; leave out --slide and --patient")
    host = load_plugins(no_plugin, quiet)
    found = host.find("segmenter", model)
    params = assign(settings or (), [found])[model] | _device(found, device)
    plan = TrainPlan(model, params, seed)
    with progress(quiet) as bar:
        done = step(
            open_database(db, create=False),
            host,
            plan,
            runs or (),
            barcodes=slides or (),
            patient=patient,
            name=name,
            out=out,
            progress=bar,
        )
    if json:
        print_json(_record(done.model) | {"folder": str(done.folder), "runs": list(done.runs), "repeated": done.repeated})
        return
    say(_described(done), quiet)
    say(f"cacapp segment --segmenter {model} --set weights={done.model.name}", quiet, lead="Use it:")


def _device(found: Registered, device: str | None) -> dict[str, Any]:
    if device is None:
        return {}
    if "device" not in found.cls.model_fields:
        raise UsageError(f"--device {device}: segmenter {found.name!r} has no choice of device")
    return {"device": device}


def _described(done: TrainingResult) -> str:
    """Return the result of a training, in a line."""
    from cacapp.db.models import FIGURES
    from cacapp.report.wording import plural

    source = f"{plural(done.labels, 'nucleus', 'nuclei')} of {'run' if len(done.runs) == 1 else 'runs'} {', '.join(map(str, done.runs))}"
    if done.repeated:
        return f"model {done.model.name}: already trained on {source}, nothing repeated"
    figures = ", ".join(f"{name} {_number(value)}" for name, value in done.model.metrics[FIGURES].items() if value is not None)
    return f"model {done.model.name}: trained on {source}{': ' if figures else ''}{figures}; {done.folder}"


@app.command("list")
def list_models(db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """List models, the latest first."""
    from cacapp.db.engine.session import open_database
    from cacapp.db.models import FIGURES, LINEAGE, models

    with open_database(db, create=False).reading() as session:
        found = models(session)
        session.expunge_all()
    if json:
        print_json([_record(one) for one in found])
        return
    columns: list[Column] = ["name", "segmenter", "figures", ("nuclei", "right"), "runs", "trained (UTC)", "SHA-256"]
    rows: list[list[Value]] = [
        [
            one.name,
            one.kind,
            ", ".join(f"{k} {_number(v)}" for k, v in one.metrics.get(FIGURES, {}).items() if v is not None),
            sum(run["accepted"] for run in one.metrics.get(LINEAGE, [])),
            ", ".join(str(run["run"]) for run in one.metrics.get(LINEAGE, [])),
            f"{one.created_at:%Y-%m-%d %H:%M}",
            one.sha256[:12],
        ]
        for one in found
    ]
    if rows and not quiet:
        print_table(columns, rows, airy=False)
    else:
        say("no models yet; train one with: cacapp train", quiet)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of the model, or the first digits of its SHA-256 (as a run's weights).")],
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Show a model: its file, its figures, the frames, prompts, masks and filters it was trained on, and the runs that use it."""
    from cacapp.db.engine.session import open_database
    from cacapp.db.models import FIGURES, LINEAGE, get_model, runs_by

    with open_database(db, create=False).reading() as session:
        model = get_model(session, name)
        used = runs_by(session, model)
        session.expunge_all()
    if json:
        print_json(_record(model) | {"used_by_runs": used})
        return
    if quiet:
        return
    metrics = model.metrics
    facts: dict[str, Value] = {
        "segmenter": _algorithm(metrics["algorithm"]) if "algorithm" in metrics else model.kind,
        "file": model.path,
        "SHA-256": model.sha256,
        "seed, cacapp": f"{metrics.get('seed')}, {metrics.get('app_version')}",
        "trained": f"{model.created_at:%Y-%m-%d %H:%M:%S} UTC",
        **{key: _number(value) for key, value in metrics.get(FIGURES, {}).items() if value is not None},
        "used by runs": ", ".join(map(str, used)) or "none yet",
    }
    print_table(["", ""], [[key, value] for key, value in facts.items()], title=f"model {model.name}", airy=False)
    for run in metrics.get(LINEAGE, []):
        say("")
        masks = run["masks"]
        rows: list[list[Value]] = [["slide", run["slide"]], ["accepted nuclei", run["accepted"]]]
        rows += [[one["kind"], _algorithm(one)] for one in run["judges"] if one["kind"] == "filter"]
        rows.append(["agreement of", ", ".join(one["name"] for one in run["judges"] if one["kind"] == "prompter") or "nothing"])
        rows += [["least agreement", run["min_agreement"]], ["masks", f"segment run {masks['run']}"]]
        rows += [[f"  {one['kind']}", _algorithm(one)] for one in masks["algorithms"]]
        rows += [["  weights", masks["weights_sha256"]], ["frames", _frames(run["frames"])]]
        print_table(["", ""], rows, title=f"trained on pseudo-label run {run['run']}", airy=False)


def _algorithm(record: dict[str, Any]) -> str:
    params = ", ".join(f"{name}={value}" for name, value in record["params"].items())
    return f"{record['name']} ({record['distribution']} {record['version']}){': ' if params else ''}{params}"


def _frames(frames: Sequence[dict[str, str]]) -> str:
    named = ", ".join(f"{frame['name']} ({frame['sha256'][:12]})" for frame in frames[:NAMED])
    return named if len(frames) <= NAMED else f"{named} and {len(frames) - NAMED} more (--json names all)"


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _record(model: Model) -> dict[str, Any]:
    return model.model_dump(exclude={"id"})
