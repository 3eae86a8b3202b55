"""The runs, algorithms and image files behind a page's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FailedFrame:
    """A frame without cells, and the error that says why."""

    slide: str
    frame: str
    error: str


@dataclass(frozen=True, slots=True)
class AlgorithmUse:
    """An algorithm as it was used: its kind (prompter, segmenter ...), distribution and all parameters."""

    kind: str
    name: str
    distribution: str
    version: str
    params: Mapping[str, object] = field(default_factory=dict)
    weights_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RunProvenance:
    """A run behind the numbers."""

    run_id: int
    step: str
    slide: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    app_version: str
    device: str
    seed: int
    fingerprint: str
    algorithms: tuple[AlgorithmUse, ...] = ()
    params: Mapping[str, object] = field(default_factory=dict)
    assay: str | None = None


@dataclass(frozen=True, slots=True)
class SourceFile:
    """An image file that was read, with the SHA-256 it had at ingest, and the reader that read it ("" where it was not recorded)."""

    slide: str
    name: str
    uri: str
    sha256: str
    reader: str = ""
