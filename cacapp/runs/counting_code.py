"""The version of the code that counts, as a digest: two counts of one slide are the same only where it is."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOTS = ("cacapp.fish.count_frame", "cacapp.algorithms.log", "cacapp.fish.duplicates", "cacapp.fish.quality.slide")
"""The modules that count, the built-in detector, and what takes calls of a whole slide back; what they import of cacapp belongs to them."""

PACKAGE = Path(__file__).parents[1]
NOT_CODE = ("ctx", "kind", "type_comment", "type_ignores")  # fields of a syntax tree that do not change what it does


@cache
def code_digest() -> str:
    """Return the SHA-256 (hex) over the code of ``counting_modules``.

    Comments, docstrings and layout do not change it, nor does the Python version. A run's record keeps the first 16 digits.
    """
    digest = hashlib.sha256()
    for name, tree in sorted(counting_modules().items()):
        digest.update(f"{name}\n{canonical(tree)}\n".encode())
    return digest.hexdigest()


def counting_modules() -> dict[str, ast.Module]:
    """Return the syntax trees of ``ROOTS`` and of every module of cacapp that they import, directly or not, by name."""
    found: dict[str, ast.Module] = {}
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        path = PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py")
        if name not in found and path.is_file():
            found[name] = ast.parse(path.read_bytes())
            waiting += _imported(found[name].body)
    return found


def canonical(tree: ast.AST) -> str:
    """Return the code of a syntax tree as one line of text that neither layout, comments, docstrings nor the Python version change."""
    parts: list[str] = []
    _write(tree, parts)
    return "".join(parts)


def _imported(body: Sequence[ast.AST]) -> Iterator[str]:
    """Yield the modules of cacapp that statements import, at the top of a module or inside a function."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.startswith("cacapp."))
        elif isinstance(node, ast.ImportFrom):
            if node.module is not None and node.module.split(".")[0] == "cacapp":
                yield node.module
                yield from (f"{node.module}.{one.name}" for one in node.names)  # a name may be a module
        elif not isinstance(node, ast.Expr | ast.Assign):
            for field in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from _imported(getattr(node, field, ()))


def _write(value: Any, parts: list[str]) -> None:
    if isinstance(value, ast.AST):
        parts.append(f"{type(value).__name__}(")
        for name in value._fields:
            of_field = _joined_texts(value) if isinstance(value, ast.JoinedStr) else getattr(value, name, None)
            if isinstance(of_field, list):
                of_field = [one for one in of_field if not _is_text(one)]
            # empty fields are left out, as a newer Python has more of them
            if name not in NOT_CODE and of_field is not None and of_field != []:
                parts.append(f"{name}=")
                _write(of_field, parts)
        parts.append(")")
    elif isinstance(value, list):
        parts.append("[")
        for one in value:
            _write(one, parts)
        parts.append("]")
    else:
        parts.append(f"{value!r},")


def _is_text(statement: Any) -> bool:
    """Tell whether a statement is a text alone: a docstring, of a module, class, function or constant."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)


def _joined_texts(joined: ast.JoinedStr) -> list[Any]:
    """Return the parts of an f-string with neighbouring texts as one and empty ones left out, which Python versions do differently."""
    parts: list[Any] = []
    for value in joined.values:
        if not isinstance(value, ast.Constant):
            parts.append(value)
        elif text := str(value.value):
            if parts and isinstance(parts[-1], str):
                text = parts.pop() + text
            parts.append(text)
    return parts
