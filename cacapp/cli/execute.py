"""Run a request from the console: load the plugins, show progress, print what was done, choose the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from cacapp.cli.console import print_json, progress, say, say_warning
from cacapp.cli.ingest import describe, ingest_record
from cacapp.cli.results import print_patients

if TYPE_CHECKING:
    from cacapp.host import Host
    from cacapp.runs.progress import RunReport
    from cacapp.runs.request import Execution, PipelineRequest
    from cacapp.steps.pipeline import PipelineResult


def load_plugins(no_plugin: Sequence[str] | None, quiet: bool) -> Host:
    """Return the installed plugins without the excluded ones; warn of each broken one, which stops only what asks for it."""
    from cacapp.host import Host, read_settings

    host = Host.discover(no_plugin or (), read_settings())
    for problem in host.problems:
        say_warning(str(problem), quiet)
    return host


def execution_of(retries: int, frame_timeout_s: float | None, force: bool, no_plugin: Sequence[str] | None) -> Execution:
    """Return the options of the panel "Execution" that are stored with a request."""
    from cacapp.runs.request import Execution

    return Execution(retries, frame_timeout_s, force, tuple(no_plugin or ()))


def execute(
    request: PipelineRequest, host: Host, db: str | None, workers: int | None, cluster: str | None, quiet: bool, *, create: bool = False
) -> PipelineResult:
    """Run a request with progress on stderr; ``create`` makes the database where there is none."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.pipeline import run_pipeline

    database = open_database(db, create=create)
    with progress(quiet) as bar, request.execution.engine(workers, cluster) as engine:
        return run_pipeline(database, host, request, engine, bar)


def print_result(result: PipelineResult, db: str | None, json: bool, quiet: bool) -> None:
    """Print what the steps did, then the patients' results, and leave with the exit code that fits."""
    for ingested in result.ingested:
        say(describe(ingested), quiet or json)
    for report in result.reports:
        say(describe_run(report), quiet or json)
    if json:
        slides = [ingest_record(i) for i in result.ingested]
        print_json({"slides": slides, "runs": [run_record(r) for r in result.reports], "reports": [str(p) for p in result.pages]})
    elif not quiet and result.ingested:
        print_patients(db, [i.patient for i in result.ingested if i.error is None])
        if result.pages:
            say(str(result.pages[0] if len(result.pages) == 2 else result.pages[-1]), lead="Report:")
    leave(result, quiet)


def print_runs(result: PipelineResult, json: bool, quiet: bool) -> None:
    """Print what the runs did, a line each, and leave with the exit code that fits."""
    if json:
        print_json([run_record(r) for r in result.reports])
    for report in result.reports:
        say(describe_run(report), quiet or json)
    leave(result, quiet)


def leave(result: PipelineResult, quiet: bool) -> None:
    """Exit with 3 where files or frames failed. Raises CacappError where every frame of every run failed."""
    result.require_results()
    if not result.complete:
        say_warning("succeeded with failures: some slides, files or frames are missing; see above, or: cacapp runs show RUN", quiet)
        raise typer.Exit(3)


def describe_run(report: RunReport) -> str:
    """Return what a run did, in a line."""
    from cacapp.report.wording import plural

    if report.repeated:
        missing = f", {_quarantined(report)}" if report.failed else ""
        return f"{report.step} {report.slide}: already done as run {report.run_id}, nothing repeated (--force does it again){missing}"
    before = f" ({report.before} done before)" if report.before else ""
    noun = {"segment": "cell", "count": "dot"}.get(report.step, "mask")
    parts = [f"{report.done} of {plural(report.frames, 'frame')}{before}", plural(report.items, noun)]
    if report.failed:
        parts.append(_quarantined(report))
    return f"{report.step} {report.slide}: run {report.run_id}, {', '.join(parts)}, {report.seconds:.1f} s"


def run_record(report: RunReport) -> dict[str, Any]:
    """Return the report of a run as JSON values."""
    return {name: getattr(report, name) for name in report.__dataclass_fields__} | {"failed": dict(report.failed)}


def _quarantined(report: RunReport) -> str:
    return f"{len(report.failed)} quarantined (cacapp runs retry --failed {report.run_id})"
