"""What the host requires of a plugin: hooks that exist and are marked, classes that keep to the API."""

from __future__ import annotations

import difflib
import re
from typing import Any

from cacapp.api import API_VERSION, Reader
from cacapp.host.registered import KINDS

GROUP = "cacapp"
"""Entry-point group of the plugins, and prefix of their hooks."""

SUFFIX = re.compile(r"(\.[a-z0-9_-]+)+")
NAME = re.compile(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")


def fault_of_hooks(plugin: object) -> str | None:
    """Return what is wrong with the hooks of a plugin, or None."""
    known = [kind.hook for kind in KINDS.values()]
    any_hook = False
    for name in dir(plugin):
        candidate = getattr(plugin, name, None)
        marked = getattr(candidate, f"{GROUP}_impl", None)
        if not callable(candidate) or not (isinstance(marked, dict) or name.startswith(f"{GROUP}_")):
            continue
        hook = (marked or {}).get("specname") or name
        if hook not in known:
            near = difflib.get_close_matches(hook, known, n=1)
            hint = f", did you mean {near[0]!r}?" if near else f"; hooks are {', '.join(known)}"
            return f"there is no hook {hook!r}{hint}"
        if not marked:
            return f"{name} is not marked with @hookimpl"
        any_hook = True
    return None if any_hook else f"implements no hook; hooks are {', '.join(known)}"


def fault_of_class(cls: Any, kind: str) -> str | None:
    """Return what is wrong with a class offered as an algorithm of ``kind``, or None."""
    base = KINDS[kind].base
    label = getattr(cls, "__name__", repr(cls))
    if not (isinstance(cls, type) and issubclass(cls, base)):
        return f"{KINDS[kind].hook} must return subclasses of {base.__name__}, got {label}"
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not NAME.match(name):
        return f"{label} needs a class variable name, lower case with dashes, got {name!r}"
    version = getattr(cls, "api_version", None)
    if version != API_VERSION:
        return f"{kind} {name!r} was written for plugin API version {version!r}, this cacapp speaks {API_VERSION}"
    required = [field for field, info in cls.model_fields.items() if info.is_required()]
    if required:
        return f"{kind} {name!r}: parameter {required[0]!r} has no default"
    bare = [field for field, info in cls.model_fields.items() if not info.description]
    if bare:
        return f"{kind} {name!r}: parameter {bare[0]!r} has no description"
    return _fault_of_reader(cls, name) if issubclass(cls, Reader) else None


def _fault_of_reader(cls: type[Reader], name: str) -> str | None:
    if cls.model_fields:
        return f"reader {name!r}: has the parameter {next(iter(cls.model_fields))!r}; a file is read in one way, without parameters"
    suffixes = getattr(cls, "suffixes", None)
    if not isinstance(suffixes, tuple) or not all(isinstance(s, str) and SUFFIX.fullmatch(s) for s in suffixes):
        return f"reader {name!r}: suffixes must be a tuple of endings in lower case such as ('.czi',), got {suffixes!r}"
    return None
