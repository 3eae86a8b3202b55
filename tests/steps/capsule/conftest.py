"""A capsule of the counted small slide, and ways to write one that nobody's cacapp wrote."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

Run = Callable[..., Any]
Members = dict[str, bytes]


def read_members(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path: Path, members: Members, *, honest: bool = True) -> Path:
    """The members as a capsule; ``honest``: with a manifest that has their sizes and hashes."""
    if honest:
        manifest = json.loads(members["manifest.json"])
        manifest["members"] = {
            name: {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()} for name, raw in members.items() if name != "manifest.json"
        }
        members = members | {"manifest.json": json.dumps(manifest).encode()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return path


def with_table(members: Members, name: str, edit: Callable[[list[dict[str, Any]]], Any]) -> Members:
    """The members with the rows of one table edited in place."""
    table = parquet.read_table(io.BytesIO(members[name]))
    rows = table.to_pylist()
    edit(rows)
    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema=table.schema), sink)
    return members | {name: sink.getvalue()}


def with_manifest(members: Members, edit: Callable[[dict[str, Any]], Any]) -> Members:
    manifest = json.loads(members["manifest.json"])
    edit(manifest)
    return members | {"manifest.json": json.dumps(manifest).encode()}


@pytest.fixture
def capsule(counted: Run, tmp_path: Path) -> Path:
    """out.zip of count run 2, which builds on segment run 1."""
    assert counted("runs", "capsule", 2, "out.zip").code == 0
    return tmp_path / "out.zip"
