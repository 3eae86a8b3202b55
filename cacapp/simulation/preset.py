"""Presets of the slide model from TOML: shipped ones by name, own ones by path. A preset inherits from others."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from cacapp.exceptions import UsageError
from cacapp.simulation.model import SlideModel

KEYS = ("description", "base", "parameters")


@dataclass(frozen=True, slots=True)
class Preset:
    """Parameters of the slide model that differ from its defaults, those of the bases included."""

    name: str
    description: str
    parameters: dict[str, Any]


def preset_names() -> tuple[str, ...]:
    """Return the names of the shipped presets."""
    folder = resources.files("cacapp.simulation") / "presets"
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def load_preset(name_or_path: str) -> Preset:
    """Return a shipped preset, or that of a TOML file.

    ``base`` lists presets whose parameters it takes over, a later one before an earlier one; its own go before all. A base is a shipped
    name, or a path relative to the file.

    Raises:
        UsageError: no such preset, no TOML, an unknown key or parameter, or a circle of bases; one line naming the file.
    """
    return _load(name_or_path, Path(), ())


def _load(name: str, folder: Path, above: tuple[str, ...]) -> Preset:
    shipped = name in preset_names()
    path = folder / name
    where = name if shipped else str(path)
    if where in above:
        raise UsageError(f"preset {where}: base: {' → '.join([*above, where])} is a circle; leave base out of one of them")
    try:
        source = resources.files("cacapp.simulation") / "presets" / f"{name}.toml" if shipped else path
        own = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        of = f"{above[-1]}: base: " if above else ""
        problem = getattr(error, "strerror", None) or f"not valid TOML: {error}"
        raise UsageError(f"preset {of}{name}: {problem}; give a TOML file or one of: {', '.join(preset_names())}") from error
    if unknown := sorted(set(own) - set(KEYS)):
        raise UsageError(f"preset {where}: unknown key {unknown[0]!r}; there are {', '.join(KEYS)}")
    bases, parameters = own.get("base", []), own.get("parameters", {})
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UsageError(f"preset {where}: base: write names of presets in quotes, in a list where there are several")
    if not isinstance(parameters, dict):
        raise UsageError(f"preset {where}: parameters: write them below a line [parameters]")
    if wrong := sorted(set(parameters) - set(SlideModel.model_fields)):
        raise UsageError(f"preset {where}: no such parameter {wrong[0]!r}; see: cacapp simulate --parameters")
    merged: dict[str, Any] = {}
    for base in bases:
        merged |= _load(base, path.parent, (*above, where)).parameters
    return Preset(name, str(own.get("description", "")), merged | parameters)
