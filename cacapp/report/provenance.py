"""The runs, algorithms and image files that a page's numbers rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FailedFrame:
    """A frame that gave no cells, and the error that says why."""

    slide: str
    frame: str
    error: str


@dataclass(frozen=True, slots=True)
class AlgorithmUse:
    """A plugin as it was used: its kind (prompter, segmenter ...), where it comes from and all its parameters."""

    kind: str
    name: str
    distribution: str
    version: str
    params: Mapping[str, object] = field(default_factory=dict)
    weights_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RunProvenance:
    """A run that the numbers rest on."""

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
    """An image file that was read, with the SHA-256 it had at ingest."""

    slide: str
    name: str
    uri: str
    sha256: str
