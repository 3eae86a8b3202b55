"""Step ``capsule``: write a run as one file that can be replayed elsewhere; read such a file without trusting it.

A capsule is a ZIP. ``manifest.json`` names format and version, the slide, the runs, their weights, and every other member with its size
and SHA-256; see docs/capsules.md. The same run gives the same bytes. No member is ever written to disk under a name that the capsule gives.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pyarrow import parquet
from pydantic import Field, TypeAdapter, ValidationError

from cacapp.db.engine.session import Database, Session
from cacapp.db.models import find_model
from cacapp.db.runs.content import CONTENT
from cacapp.exceptions import CacappError
from cacapp.runs.files import write_atomically
from cacapp.steps.capsule.recorded_runs import (
    SCHEMAS,
    FrameRecord,
    FrameState,
    RecordedRun,
    RecordedRuns,
    RunRecord,
    Strict,
    read_recorded_runs,
)
from cacapp.weights.registry import entries

FORMAT, VERSION = "cacapp-capsule", 1
MANIFEST, FRAMES = "manifest.json", "frames.json"
MAX_JSON_BYTES = 256 << 20
MAX_TABLE_BYTES = 2 << 30
MAX_ROWS = 50_000_000
_BATCH_ROWS = 4096
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time of a ZIP; the time of writing would change the bytes


OPTIONAL_MEMBERS = {"count/contested.parquet"}
"""Members that older capsules do not have."""


class WeightsSource(Strict):
    """Weights of a run: the file's SHA-256, and its origin where known (an entry of the registry, or a model trained here)."""

    algorithm: str
    sha256: str
    name: str | None = None
    file: str | None = None
    url: str | None = None
    licence: str | None = None


class Member(Strict):
    """A member of the capsule."""

    bytes: int = Field(ge=0)
    sha256: str


class Manifest(Strict):
    """``manifest.json``."""

    format: Literal["cacapp-capsule"]
    version: Literal[1]
    slide: str
    blood_volume_ul: float | None
    runs: tuple[RunRecord, ...] = Field(min_length=1, max_length=2)
    weights: tuple[WeightsSource, ...]
    members: dict[str, Member]


def write_capsule(db: Database, run_id: int, out: Path) -> tuple[RecordedRuns, str]:
    """Write run ``run_id`` to ``out`` atomically; return its content and the file's SHA-256.

    Raises:
        UsageError: there is no such run, it holds no cells, or it is not finished.
        CacappError: the file cannot be written.
    """
    with db.reading() as session:
        recorded = read_recorded_runs(session, run_id)
        weights = _weights(session, recorded)
    content = _pack(recorded, weights)
    write_atomically(out, content)
    return recorded, hashlib.sha256(content).hexdigest()


def read_capsule(path: Path) -> tuple[RecordedRuns, Manifest]:
    """Return the runs in a capsule and its manifest, after checking the size and SHA-256 of every member.

    Raises:
        CacappError: not a capsule, a newer version, damaged, or malicious (a foreign, linked, encrypted or oversized member).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _manifest(path, archive)
            content = {name: _member(path, archive, name, known) for name, known in manifest.members.items()}
    except OSError as error:
        raise CacappError(f"{path} cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        raise CacappError(f"{path} is not a capsule, or is damaged: {' '.join(str(error).split())}; copy it again") from None
    frames = _parsed(path, FRAMES, content, tuple[FrameRecord, ...])
    runs = [_part(path, record, content) for record in manifest.runs]
    return RecordedRuns(manifest.slide, manifest.blood_volume_ul, frames, *runs), manifest


def _names(steps: list[str]) -> set[str]:
    tables = {f"{step}/{content}.parquet" for step in steps for content in CONTENT[step]}
    return {FRAMES, *(f"{step}/ledger.json" for step in steps), *tables}


def _weights(session: Session, recorded: RecordedRuns) -> list[WeightsSource]:
    found = []
    for run in recorded.runs():
        for one in run.record.algorithms:
            if one.weights_sha256 is None:
                continue
            entry = next((e for e in entries().values() if e.matches(one.weights_sha256)), None)
            model = None if entry else find_model(session, one.weights_sha256)
            known: dict[str, Any] = {f: getattr(entry, f) for f in ("name", "file", "url", "licence")} if entry else {}
            if model is not None:
                known = {"name": model.name, "file": Path(model.path).name}
            found.append(WeightsSource(algorithm=one.name, sha256=one.weights_sha256, **known))
    return found


def _pack(recorded: RecordedRuns, weights: list[WeightsSource]) -> bytes:
    members = {FRAMES: _json([_plain(frame) for frame in recorded.frames])}
    for run in recorded.runs():
        step = run.record.step
        members[f"{step}/ledger.json"] = _json([_plain(state) for state in run.ledger])
        members |= {f"{step}/{name}.parquet": _parquet(table) for name, table in run.tables.items()}
    manifest = Manifest(
        format=FORMAT,
        version=VERSION,
        slide=recorded.slide,
        blood_volume_ul=recorded.blood_volume_ul,
        runs=tuple(run.record for run in recorded.runs()),
        weights=tuple(weights),
        members={name: Member(bytes=len(raw), sha256=hashlib.sha256(raw).hexdigest()) for name, raw in sorted(members.items())},
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, raw in ((MANIFEST, _json(_plain(manifest))), *sorted(members.items())):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o600) << 16
            info.compress_type = zipfile.ZIP_STORED if name.endswith(".parquet") else zipfile.ZIP_DEFLATED
            archive.writestr(info, raw)
    return packed.getvalue()


def _plain(model: Strict) -> Any:
    return json.loads(model.model_dump_json())  # through text, in which NaN becomes null


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    """Return the manifest, after checking that the archive has plain files under the manifest's names, each once, and nothing else."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if MANIFEST not in names:
        raise CacappError(f"{path} is not a capsule: it has no {MANIFEST}; write one with: cacapp runs capsule RUN OUT.zip")
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if names.count(info.filename) > 1 or kind not in (0, stat.S_IFREG) or info.flag_bits & 1 or info.is_dir():
            raise CacappError(
                f"{path}: {info.filename!r} is twice there, a link, a folder or encrypted; no capsule has that, do not use it"
            )
    raw = _limited(path, archive, MANIFEST, MAX_JSON_BYTES)
    try:
        head = json.loads(raw)
    except (ValueError, RecursionError):
        raise CacappError(f"{path}: {MANIFEST} is not JSON; copy the capsule again") from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise CacappError(f"{path} is not a capsule: {MANIFEST} does not say so; write one with: cacapp runs capsule RUN OUT.zip")
    if head.get("version") != VERSION:
        raise CacappError(
            f"{path} is a capsule of version {head.get('version')}, this cacapp reads {VERSION}; use the cacapp that wrote it"
        )
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        raise CacappError(f"{path}: {MANIFEST}: {_first(error)}; copy the capsule again") from None
    steps = [run.step for run in manifest.runs]
    if steps not in (["segment"], ["segment", "count"]):
        raise CacappError(f"{path}: {MANIFEST}: runs {', '.join(steps)}; a capsule holds a segment run, or that and a count run")
    expected = _names(list(steps))
    expected -= OPTIONAL_MEMBERS - set(names) - set(manifest.members)
    unexpected = sorted((set(names) - {MANIFEST}) ^ expected | set(manifest.members) ^ expected)
    if unexpected:
        raise CacappError(f"{path}: {unexpected[0]!r} is missing or does not belong in a capsule; copy it again, or do not use it")
    return manifest


def _member(path: Path, archive: zipfile.ZipFile, name: str, known: Member) -> bytes:
    raw = _limited(path, archive, name, MAX_TABLE_BYTES if name.endswith(".parquet") else MAX_JSON_BYTES)
    if len(raw) != known.bytes or hashlib.sha256(raw).hexdigest() != known.sha256:
        raise CacappError(f"{path}: {name} is not what the manifest says (SHA-256); it was changed or damaged, copy the capsule again")
    return raw


def _limited(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Return a member's content; never unpack more than ``limit`` bytes, whatever size the archive states."""
    with archive.open(name) as file:
        raw = file.read(limit + 1)
    if len(raw) > limit:
        raise CacappError(f"{path}: {name} unpacks to more than {limit >> 20} MB; no capsule has that, do not use it")
    return raw


def _parsed(path: Path, name: str, content: Mapping[str, bytes], form: Any) -> Any:
    try:
        return TypeAdapter(form).validate_json(content[name])
    except ValidationError as error:
        raise CacappError(f"{path}: {name}: {_first(error)}; copy the capsule again") from None


def _part(path: Path, record: RunRecord, content: Mapping[str, bytes]) -> RecordedRun:
    ledger = _parsed(path, f"{record.step}/ledger.json", content, tuple[FrameState, ...])
    members = {name: f"{record.step}/{name}.parquet" for name in CONTENT[record.step]}
    tables = {name: _table(path, member, name, content) for name, member in members.items() if member in content}
    return RecordedRun(record, ledger, tables)


def _table(path: Path, member: str, name: str, content: Mapping[str, bytes]) -> pa.Table:
    try:
        file = parquet.ParquetFile(io.BytesIO(content[member]))
        meta = file.metadata
        if meta.num_rows > MAX_ROWS or not file.schema_arrow.equals(SCHEMAS[name]):
            raise CacappError(
                f"{path}: {member} has {meta.num_rows} rows and columns {', '.join(file.schema_arrow.names)}; no capsule has that"
            )
        size, batches = 0, []
        for batch in file.iter_batches(_BATCH_ROWS):  # the unpacked size is known only after unpacking
            size += batch.nbytes
            if size > MAX_TABLE_BYTES:
                raise CacappError(f"{path}: {member} unpacks to more than {MAX_TABLE_BYTES >> 20} MB; no capsule has that, do not use it")
            batches.append(batch)
        return pa.Table.from_batches(batches, SCHEMAS[name])
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CacappError(f"{path}: {member} cannot be read ({' '.join(str(error).split())[:160]}); copy the capsule again") from None


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
