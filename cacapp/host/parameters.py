"""Parameters of algorithms: described for people, and assigned from ``--set name=value``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cacapp.api import Algorithm
from cacapp.exceptions import UsageError
from cacapp.host.registered import Registered


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an algorithm, in words for people."""

    name: str
    type: str
    default: Any
    bounds: str
    description: str


def parameters(cls: type[Algorithm]) -> list[Parameter]:
    """Return the parameters of an algorithm in the order of their declaration."""
    schema = cls.model_json_schema(by_alias=False)
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    rows = []
    for name, info in cls.model_fields.items():
        prop = _resolved(properties[name], schema)
        rows.append(Parameter(name, _type(prop), info.get_default(call_default_factory=True), _bounds(prop), info.description or ""))
    return rows


def schemas(cls: type[Algorithm]) -> dict[str, dict[str, Any]]:
    """Return the parameters as JSON values, {name: ``schema``, ``default`` and ``description``}, for a stand-in that has the same."""
    schema = cls.model_json_schema(by_alias=False)
    defaults = cls().model_dump(mode="json")
    described = {}
    for name, info in cls.model_fields.items():
        prop = _resolved(schema.get("properties", {})[name], schema)
        plain = {key: value for key, value in prop.items() if key not in ("title", "default", "description", "anyOf", "$ref")}
        described[name] = {"schema": plain, "default": defaults[name], "description": info.description or ""}
    return described


def assign(settings: Sequence[str], chosen: Sequence[Registered]) -> dict[str, dict[str, Any]]:
    """Assign ``--set`` texts to the chosen algorithms: {algorithm name: {parameter: value}}.

    ``name=value`` where one chosen algorithm has that parameter, ``algorithm.name=value`` where several have it. Values are read as
    JSON where they are JSON, else as text. Raises UsageError for a text without "=", an unknown or an ambiguous parameter.
    """
    result: dict[str, dict[str, Any]] = {r.name: {} for r in chosen}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {text!r}: write it as name=value or algorithm.name=value")
        owner, _, field = key.strip().rpartition(".")
        owners = [r for r in chosen if (not owner or r.name == owner) and field in r.cls.model_fields]
        if not owners:
            has = "; ".join(f"{r.name}: {', '.join(r.cls.model_fields) or 'none'}" for r in chosen)
            raise UsageError(f"--set {text!r}: no chosen algorithm has the parameter {key.strip()!r} ({has})")
        if len(owners) > 1:
            names = " or ".join(f"{r.name}.{field}" for r in owners)
            raise UsageError(f"--set {text!r}: several algorithms have {field!r}; write {names}")
        result[owners[0].name][field] = _value(value.strip())
    return result


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _resolved(prop: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a property with its $ref and its one non-null alternative resolved."""
    merged = dict(prop)
    if "$ref" in merged:
        merged |= schema["$defs"][merged["$ref"].rsplit("/", 1)[1]]
    options = [option for option in merged.get("anyOf", []) if option.get("type") != "null"]
    if len(options) == 1:
        merged |= {"optional": True} | {k: v for k, v in options[0].items() if k != "description"}
    return merged


def _type(prop: Mapping[str, Any]) -> str:
    kind = "one of " + ", ".join(map(str, prop["enum"])) if "enum" in prop else str(prop.get("type", "value"))
    return f"{kind} or none" if prop.get("optional") else kind


def _bounds(prop: Mapping[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    return ", ".join(f"{sign} {prop[key]:g}" for key, sign in signs.items() if key in prop)
