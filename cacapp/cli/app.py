"""The command line: each command parses its options, calls a step and prints. Heavy modules are imported inside the commands."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cacapp import __version__
from cacapp.cli import (
    analyse,
    assay,
    compare,
    control,
    database,
    demo,
    evaluate,
    export,
    import_labels,
    ingest,
    plugins,
    pseudo_labels,
    results,
    review,
    runs,
    train,
    users,
    weights,
)
from cacapp.exceptions import CacappError, UsageError

OK, FAILED, USAGE, PARTLY, INTERRUPTED = 0, 1, 2, 3, 130

CLICK_USAGE_ERROR: Any = typer.BadParameter.__base__
"""Click's usage error; typer has it under a name that depends on its version."""

app = typer.Typer(
    name="cacapp",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Slides in, per-patient CAC counts out. Research use only.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some frames or files failed.",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"cacapp {__version__}")
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False) -> None:
    return None


app.command("run", rich_help_panel="From slides to results")(analyse.run)
app.command("ingest", rich_help_panel="From slides to results")(ingest.ingest)
app.command("segment", rich_help_panel="From slides to results")(analyse.segment)
app.command("import-labels", rich_help_panel="From slides to results")(import_labels.import_labels)
app.command("count", rich_help_panel="From slides to results")(analyse.count)
app.command("report", rich_help_panel="From slides to results")(results.report)
app.command("review", rich_help_panel="From slides to results")(review.review)
app.command("patients", rich_help_panel="Look things up")(results.patients)
app.command("cells", rich_help_panel="Look things up")(results.cells)
app.command("export", rich_help_panel="Look things up")(export.export)
app.command("pseudo-label", rich_help_panel="Train a model")(pseudo_labels.pseudo_label)
app.command("train", rich_help_panel="Train a model")(train.train)
app.command("simulate", rich_help_panel="Try it")(demo.simulate)
app.command("demo", rich_help_panel="Try it")(demo.demo)
app.command("evaluate", rich_help_panel="Measure it")(evaluate.evaluate)
app.command("benchmark", rich_help_panel="Measure it")(evaluate.benchmark)
app.command("compare", rich_help_panel="Measure it")(compare.compare)
app.add_typer(runs.app, name="runs", rich_help_panel="Look things up")
app.add_typer(control.app, name="control", rich_help_panel="Measure it")
app.add_typer(train.app, name="models", rich_help_panel="Train a model")
app.add_typer(assay.app, name="assay", rich_help_panel="Set-up")
app.add_typer(plugins.app, name="plugins", rich_help_panel="Set-up")
app.add_typer(weights.app, name="weights", rich_help_panel="Set-up")
app.add_typer(users.app, name="users", rich_help_panel="Set-up")
app.add_typer(database.app, name="db", rich_help_panel="Set-up")


def main() -> None:
    """Run the command line; a user's mistake gives one line on stderr and an exit code, never a traceback."""
    # what a batch system sends before it kills: stop as for Ctrl-C, cleanly and resumable
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also where a script started us with SIGINT ignored
    sys.exit(run_command(sys.argv[1:]))


def run_command(args: Sequence[str]) -> int:
    """Run one command, given without the program's name; return the exit code."""
    from cacapp.cli.console import WarningHandler, say_error

    log = logging.getLogger("cacapp")
    if not log.handlers:
        log.addHandler(WarningHandler())
    try:
        # Typer returns the code of an Exit, and what the command returns: None.
        code = app(args=list(args), prog_name="cacapp", standalone_mode=False) or OK
    except CLICK_USAGE_ERROR as error:
        message = error.format_message()
        if message and "\n" not in message:
            path = getattr(error.ctx, "command_path", "cacapp")
            say_error(f"{message.rstrip('.')}; see: {path} --help")
        elif message:  # help, where a command was called without what it needs
            print(message, file=sys.stderr)
        return USAGE
    except UsageError as error:
        say_error(str(error))
        return USAGE
    except CacappError as error:
        say_error(str(error))
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    if code == INTERRUPTED:
        logging.getLogger("asyncio").disabled = True  # would name the fetch that was stopped, when Python ends
        say_error("stopped; finished work is kept, repeat the command to resume")
    return int(code)


if __name__ == "__main__":
    main()
