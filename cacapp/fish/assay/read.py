"""Assay definitions from TOML: shipped ones by name, a laboratory's own by path."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from cacapp.exceptions import UsageError
from cacapp.fish.assay.consistency import contradiction
from cacapp.fish.assay.inherit import BASE, BASE_VERSION, complete_text, merged
from cacapp.fish.assay.model import Assay


def builtin_assays() -> tuple[str, ...]:
    """Return the names of the assays shipped with the package."""
    folder = resources.files("cacapp.fish.assay") / "definitions"
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def load_assay(path_or_name: str | Path) -> Assay:
    """Return the assay of a TOML file, or of a built-in name such as ``katz-4color``.

    A file may inherit: ``base`` names a shipped assay or a file, relative to its own folder, and ``base_version`` the version of that one.

    Raises:
        UsageError: no such file or name, not UTF-8, not TOML, a contradiction, or a base that is missing, of another version or in a
            circle; one line naming the file and the key.
    """
    return load_with_bases(path_or_name)[0]


def load_with_bases(path_or_name: str | Path) -> tuple[Assay, tuple[str, ...]]:
    """Return the assay as ``load_assay`` does, and "name version" of each assay that it inherits from, the nearest first."""
    return _load(str(path_or_name), Path(), {})


def parse_assay(text: str, where: str) -> Assay:
    """Return the assay of a complete TOML text, as it is stored with a run: one without ``base``.

    Args:
        where: names the text in errors (a file, "run 7").

    Raises:
        UsageError: not TOML, incomplete, or a contradiction; one line.
    """
    definition = _definition(text, where)
    for key in (BASE, BASE_VERSION):
        if key in definition:  # a text from elsewhere names no file of this machine
            raise UsageError(f"assay {where}: {key}: only a file can inherit; give the complete text (cacapp assay show FILE --toml)")
    return _checked(definition, where, text)


def _load(name: str, folder: Path, above: Mapping[str, str]) -> tuple[Assay, tuple[str, ...]]:
    """Return the assay of a name, or of a path relative to ``folder``, and its bases.

    Args:
        above: the files that inherit from it, by what tells two files apart, the first one first.
    """
    shipped = name in builtin_assays()
    path = folder / name
    where = name if shipped else str(path)
    try:
        identity = name if shipped else str(path.resolve())
        if identity in above:
            circle = " → ".join([*above.values(), where])
            raise UsageError(f"assay {where}: base: {circle} is a circle; leave base out of one of them")
        raw = (resources.files("cacapp.fish.assay") / "definitions" / f"{name}.toml").read_bytes() if shipped else path.read_bytes()
    except (OSError, ValueError) as error:
        child = f"{[*above.values()][-1]}: base: " if above else ""
        known, relative = ", ".join(builtin_assays()), ", its path relative to this one," if above else ""
        problem = getattr(error, "strerror", None) or error
        raise UsageError(f"assay {child}{name}: {problem}; give a TOML file{relative} or one of: {known}") from error
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"assay {where}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from error
    own = _definition(text, where)
    if BASE not in own and BASE_VERSION not in own:
        return _checked(own, where, text), ()
    base, further = _base(own, where, path.parent, {**above, identity: where})
    bases = (f"{base.name} {base.version}", *further)
    definition = merged(own, tomllib.loads(base.toml()))
    return _checked(definition, where, complete_text(definition, bases)), bases


def _base(own: dict[str, Any], where: str, folder: Path, above: Mapping[str, str]) -> tuple[Assay, tuple[str, ...]]:
    for key in (BASE, BASE_VERSION):
        if not isinstance(own.get(key), str):
            problem = f"write it in quotes, not as {own[key]!r}" if key in own else "missing"
            raise UsageError(f'assay {where}: {key}: {problem}; inheriting takes both, such as base = "katz-4color", base_version = "2"')
    base, further = _load(own[BASE], folder, above)
    if base.version != own[BASE_VERSION]:
        raise UsageError(
            f"assay {where}: base_version: {own[BASE]} is version {base.version} here, the file is made for version {own[BASE_VERSION]}; "
            f'see what changed (cacapp assay show {own[BASE]} --toml), then set base_version = "{base.version}"'
        )
    return base, further


def _definition(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"assay {where}: not valid TOML: {' '.join(str(error).split())}") from error


def _checked(definition: dict[str, Any], where: str, text: str) -> Assay:
    try:
        # Through JSON, so that strict types hold (no "3" for 3) and TOML arrays may fill tuples.
        assay = Assay.model_validate_json(json.dumps(definition, default=str), strict=True)
    except ValidationError as error:
        raise UsageError(f"assay {where}: {_first_problem(error)}") from error
    if (problem := contradiction(assay)) is not None:
        raise UsageError(f"assay {where}: {problem[0]}: {problem[1]}")
    return assay.read_from(text)


def _first_problem(error: ValidationError) -> str:
    """Return the first problem as key and message; an unknown key before what is missing for it."""
    found = error.errors(include_url=False)
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    key = ""
    for part in first["loc"]:
        key += f" #{part + 1}" if isinstance(part, int) else f"{'' if not key else ' ' if key[-1].isdigit() else '.'}{part}"
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key{_instead(first['loc'])}"
    message = "missing" if first["type"] == "missing" else first["msg"]
    return f"{key}: {message[0].lower()}{message[1:]}"


def _instead(place: tuple[int | str, ...]) -> str:
    """Return the way out for an unknown key: the known key that is like it, or all that its table may have."""
    table: Any = Assay
    for part in place[:-1]:
        if isinstance(part, str):
            table = _table_of(table.model_fields[part].annotation)
    known = [*table.model_fields, *((BASE, BASE_VERSION) if table is Assay else ())]
    close = get_close_matches(str(place[-1]), known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def _table_of(annotation: Any) -> Any:
    """Return the table that a field holds, alone or in an array."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((table for one in get_args(annotation) if (table := _table_of(one)) is not None), None)
