"""``cacapp assay list | show | check``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cacapp.cli import options as o
from cacapp.cli.console import print_json, say
from cacapp.cli.tables import Value, print_table

if TYPE_CHECKING:
    from cacapp.fish.assay.model import Assay
    from cacapp.fish.assay.rules import Condition

app = typer.Typer(help="Assay definitions: probes, classes, gates and the patient's criterion.", no_args_is_help=True)

Given = Annotated[str, typer.Argument(metavar="NAME", help="A shipped assay (see: cacapp assay list) or a TOML file.")]


@app.command("list")
def list_(json: o.Json = False, quiet: o.Quiet = False) -> None:
    """List the assays that come with cacapp."""
    from cacapp.fish.assay.read import builtin_assays, load_with_bases

    found = [load_with_bases(name) for name in builtin_assays()]
    if json:
        print_json([_summary(a, bases) for a, bases in found])
    elif not quiet:
        rows = [[a.name, a.version, "-".join(a.channels), ", ".join(a.cac_classes), a.description] for a, _ in found]
        print_table(["assay", "version", "probes", "flagged classes", "what it is"], rows)


@app.command("show")
def show(
    name: Given,
    toml: Annotated[bool, typer.Option("--toml", help="Print the complete definition, to copy and change.")] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Show an assay's probes, classes and criteria in words."""
    from cacapp.fish.assay.read import load_with_bases

    assay, bases = load_with_bases(name)
    if toml:
        typer.echo(assay.toml(), nl=False)
    elif json:
        print_json(assay.model_dump(mode="json") | {"sha256": assay.sha256, "inherits": list(bases)})
    elif not quiet:
        _print(assay, bases)


@app.command("check")
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An assay file, or the name of a shipped assay.")],
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Check an assay file; exit code 2 and one line with the key and what is wrong with it where it is not sound."""
    from cacapp.fish.assay.read import load_with_bases

    assay, bases = load_with_bases(file)
    if json:
        print_json(_summary(assay, bases) | {"ok": True})
    parts = [f"{assay.name} {assay.version}", f"{len(assay.probes)} probes", f"{len(assay.classes)} classes", criterion(assay)]
    say(f"{file} is sound: {', '.join(parts + _inherits(bases))}", quiet or json)


def criterion(assay: Assay) -> str:
    """Return the patient's criterion in words."""
    if assay.ratio is not None:
        return f"ratio of {assay.ratio.numerator} over {assay.ratio.denominator}, {len(assay.ratio.outcomes)} outcomes"
    return f"{assay.patient.threshold_per_100ul:g} or more flagged cells per 100 µL"


def in_words(condition: Condition) -> str:
    """Return a condition of a class in words: "3 or more signals in 2 or more probes"."""
    signals = _range(condition.at_least, condition.at_most)
    if condition.max_probes == 0:
        signals, probes = f"{signals} signals", "no probe"
    else:
        signals, probes = f"{signals} signals", f"{_range(condition.min_probes, condition.max_probes)} probes"
    return f"{signals} in {probes}" + (f" of {', '.join(condition.probes)}" if condition.probes else "")


def _range(low: int | None, high: int | None) -> str:
    if low is not None and high is not None:
        return f"{low}" if low == high else f"{low} to {high}"
    return f"{low} or more" if low is not None else f"at most {high}"


def _inherits(bases: Sequence[str]) -> list[str]:
    return [f"inherits {' and '.join(bases)}"] if bases else []


def _summary(assay: Assay, bases: Sequence[str]) -> dict[str, Any]:
    return {
        "name": assay.name,
        "version": assay.version,
        "description": assay.description,
        "probes": {p.channel: p.locus for p in assay.probes},
        "classes": [c.name for c in assay.classes],
        "cac_classes": list(assay.cac_classes),
        "criterion": criterion(assay),
        "inherits": list(bases),
        "sha256": assay.sha256,
    }


def _print(assay: Assay, bases: Sequence[str]) -> None:
    say(". ".join([assay.version, assay.description.rstrip("."), *(line.capitalize() for line in _inherits(bases))]) + ".", lead=assay.name)
    probes: list[list[Value]] = [[p.channel, p.locus, p.copies, f"{p.min_snr:g}"] for p in assay.probes]
    print_table(["channel", "locus", ("copies", "right"), ("minimum SNR", "right")], probes, title="Probes", airy=False)
    classes: list[list[Value]] = [
        [c.name, "yes" if c.name in assay.cac_classes else "", c.description, "; ".join(in_words(w) for w in c.when)] for c in assay.classes
    ]
    print_table(["class", "flagged", "what it is", "when (first match wins)"], classes, title="Classes", airy=False)
    if assay.ratio is not None:
        words = assay.patient.verdicts
        outcomes: list[list[Value]] = [
            [r.name, _band(r.ratio_at_least, r.ratio_below), _band(r.copies_at_least, r.copies_below), getattr(words, r.verdict)]
            for r in assay.ratio.outcomes
        ]
        title = f"Ratio of {assay.ratio.numerator} over {assay.ratio.denominator}"
        print_table(["outcome", "ratio", f"{assay.ratio.numerator} per cell", "verdict"], outcomes, title=title, airy=False)
    say(f"{criterion(assay)}; at least {assay.patient.min_evaluable_cells} evaluable cells", lead="Patient:")
    say(assay.sha256, lead="SHA-256:")


def _band(low: float | None, high: float | None) -> str:
    parts = [f"{sign} {value:g}" for sign, value in (("≥", low), ("<", high)) if value is not None]
    return " and ".join(parts) or "any"
