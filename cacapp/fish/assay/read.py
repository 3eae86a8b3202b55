"""Assay definitions from TOML: shipped ones by name, a laboratory's own by path."""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from cacapp.exceptions import UsageError
from cacapp.fish.assay.consistency import contradiction
from cacapp.fish.assay.model import Assay


def builtin_assays() -> tuple[str, ...]:
    """Names of the assays shipped with the package."""
    folder = resources.files("cacapp.fish.assay") / "definitions"
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def parse_assay(text: str, where: str) -> Assay:
    """The assay of a TOML text. ``where`` names the text in errors (a file, "run 7"). Raises UsageError, one line."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"assay {where}: not valid TOML: {' '.join(str(error).split())}") from error
    try:
        # Through JSON, so that strict types hold (no "3" for 3) and TOML arrays may fill tuples.
        assay = Assay.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        raise UsageError(f"assay {where}: {_first_line(error)}") from error
    if (problem := contradiction(assay)) is not None:
        raise UsageError(f"assay {where}: {problem[0]}: {problem[1]}")
    assay._text, assay._as_read = text, assay.model_dump()
    return assay


def _first_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ""
    for part in first["loc"]:
        key += f" #{part + 1}" if isinstance(part, int) else f"{'' if not key else ' ' if key[-1].isdigit() else '.'}{part}"
    message = {"missing": "missing", "extra_forbidden": "unknown key"}.get(first["type"], first["msg"])
    return f"{key}: {message[0].lower()}{message[1:]}"


def load_assay(path_or_name: str | Path) -> Assay:
    """The assay of a TOML file, or of a built-in name such as ``katz-4color``.

    Raises:
        UsageError: no such file or name, not UTF-8, not TOML, or a contradiction; one line naming the file and the key.
    """
    name = str(path_or_name)
    if name in builtin_assays():
        raw = (resources.files("cacapp.fish.assay") / "definitions" / f"{name}.toml").read_bytes()
    else:
        try:
            raw = Path(name).read_bytes()
        except OSError as error:
            known = ", ".join(builtin_assays())
            raise UsageError(f"assay {name}: {error.strerror or error}; give a TOML file or one of: {known}") from error
    try:
        return parse_assay(raw.decode(), name)
    except UnicodeDecodeError as error:
        raise UsageError(f"assay {name}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from error
