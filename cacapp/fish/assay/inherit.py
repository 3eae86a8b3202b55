"""Inheritance of assay definitions: what a file leaves out is its base's, and the result is a complete text of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

BASE, BASE_VERSION = "base", "base_version"
OWN_KEYS = ("name", "version", "description")
"""Keys that say which assay it is: never the base's."""

Table = Mapping[str, Any]


def merged(own: Table, base: Table) -> dict[str, Any]:
    """Return the definition of a file that inherits.

    Tables merge key by key; arrays (probes, classes, subtypes, aggregates, pairs) and values replace those of the base as a whole. The
    patient's criterion is either ``[ratio]`` or ``patient.threshold_per_100ul``: the file's own takes the place of the base's other.
    """
    kept = {key: value for key, value in base.items() if key not in OWN_KEYS}
    if "ratio" in own:
        kept["patient"] = {key: value for key, value in kept["patient"].items() if key != "threshold_per_100ul"}
    elif isinstance(own.get("patient"), Mapping) and "threshold_per_100ul" in own["patient"]:
        kept.pop("ratio", None)
    return _over(kept, {key: value for key, value in own.items() if key not in (BASE, BASE_VERSION)})


def complete_text(definition: Table, inherited: Sequence[str]) -> str:
    """Return a TOML text that stands on its own: it parses to ``definition``, with the assays it was merged from in its first line.

    Args:
        definition: tables, arrays, strings, numbers and truth values, as ``tomllib`` reads them; dates become strings.
        inherited: "name version" of each base, the nearest first.
    """
    order = [key for key in (*OWN_KEYS, *definition) if key in definition]
    lines = [f"# Complete: the file's own keys and those it inherits from {', '.join(inherited)}."]
    lines += _lines({key: definition[key] for key in order}, ())
    return "\n".join(lines) + "\n"


def _over(below: Table, above: Table) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        under = below.get(key)
        result[key] = _over(under, value) if isinstance(value, Mapping) and isinstance(under, Mapping) else value
    return result


def _lines(table: Table, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a table: its values first, then its tables and arrays of tables, as TOML wants them."""
    later: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, Mapping) or _is_tables(value):
            later.append((key, value))
        else:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in later:
        name = ".".join(_key(part) for part in (*path, key))
        if isinstance(value, Mapping):
            yield from ("", f"[{name}]", *_lines(value, (*path, key)))
        else:
            for entry in value:
                yield from ("", f"[[{name}]]", *(f"{_key(k)} = {_value(v)}" for k, v in entry.items()))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(k)} = {_value(v)}' for k, v in value.items())} }}" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(_value(v) for v in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else _quoted(str(value))


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").replace("-", "").isalnum() else _quoted(key)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML forbids the one control character that JSON allows
