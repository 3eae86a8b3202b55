"""Small records with known content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from cacapp.db import slides
from cacapp.db.cells import calls
from cacapp.db.cells import nuclei as cells
from cacapp.db.engine.session import Database
from cacapp.db.runs import ledger as runs
from cacapp.db.tables import PatientResult
from cacapp.fish.calls import Call
from cacapp.types import CHANNELS, ChannelSource, FrameSource, Instance, Shapes


@dataclass(frozen=True)
class Filled:
    """A slide with one frame, segmented and counted: a normal cell, a CAC, and one at the edge."""

    slide_id: int
    frame_id: int
    segment_id: int
    count_id: int
    cell_ids: list[int]


def source(name: str = "f1", content: str = "1", **changes: object) -> FrameSource:
    """A frame of 200 x 300 px whose digest follows from ``content``."""
    digest = runs.fingerprint(content=content)
    uri = f"/slides/{name}.ome.tif"
    channels = tuple(ChannelSource(c, f"Spectrum{c}", uri, i, digest, 10.5 * i) for i, c in enumerate(CHANNELS))
    return replace(FrameSource(name, uri, digest, "", "none", 200, 300, "uint16", 0.1, channels), **changes)  # type: ignore[arg-type]


def disks(size: int) -> list[Instance]:
    """Disks of radius 10 px in a row."""
    y, x = np.mgrid[-10:11, -10:11]
    return [Instance((25 * i, 40, 21, 21), y**2 + x**2 <= 100, 0.75) for i in range(size)]


def shapes(size: int) -> Shapes:
    """Shape features that differ from cell to cell."""
    step = np.arange(size, dtype=np.float64)
    return Shapes(317 + step, 21.25 + step, 20.5 + step, 0.9 - step / 100, 0.95 - step / 100, step == size - 1, 0.1)


def fill(database: Database, patient: str = "P1", barcode: str = "S1", frame: str = "f1") -> Filled:
    """Write a ``Filled`` slide."""
    edge = "touches the frame's edge"
    with database.session() as session:
        slide = slides.register_slide(session, patient, barcode, 100.0)
        row = slides.add_frame(session, slide, source(frame, barcode + frame))
        assert row is not None
        assert row.id is not None
        assert slide.id is not None
        same = {"slide_id": slide.id, "app_version": "1"}
        segment_id = runs.start_run(session, step="segment", fingerprint="s", **same).id  # type: ignore[arg-type]
        centres = np.array([[50, 10], [50, 35], [50, 60.25]])
        ids = cells.write_cells(
            session, segment_id, row.id, disks(3), shapes(3), centres, None, [None, None, edge], {"single-cell": [None, None, "cut off"]}
        )
        runs.record_frame(session, segment_id, row.id, "done", seconds=1.5)
        runs.finish_run(session, segment_id)
        count_id = runs.start_run(session, step="count", fingerprint="c", source_run_id=segment_id, **same).id  # type: ignore[arg-type]
        counts = np.array([[2, 2, 2, 2], [3, 4, 2, 2], [0, 0, 1, 2]])
        for channel in range(1, 5):
            owners = np.repeat(ids, counts[:, channel - 1]).tolist()
            n = len(owners)
            yx = np.arange(2 * n, dtype=np.float32).reshape(n, 2) + channel / 10
            dots = (yx, np.full(n, 9.5), np.full(n, 700), np.full(n, 1.5))
            calls.write_signals(session, count_id, row.id, channel, *dots, owners, [None] * n, {0: ids[2], 1: None})
        calls.write_counts(session, count_id, ids, counts)
        made = [
            Call("normal", None, False, 1.5, False, None, True),
            Call("cac", None, True, None, True, "flagged", True),
            Call(None, None, False, None, False, None, False, edge),
        ]
        calls.write_calls(session, count_id, ids, made)
        runs.record_frame(session, count_id, row.id, "done", seconds=0.5)
        runs.finish_run(session, count_id)
        return Filled(slide.id, row.id, segment_id, count_id, ids)


def result(run_id: int, patient_id: int, cacs: int = 1, assay: str = "katz-4color") -> PatientResult:
    """A patient's result with ``cacs`` CACs."""
    return PatientResult(
        run_id=run_id,
        patient_id=patient_id,
        assay_name=assay,
        assay_version="1",
        count_run_ids=[run_id],
        cells=3,
        evaluable=2,
        classes={"normal": 1, "cac": cacs},
        exclusions={"touches the frame's edge": 1},
        needs_review=1,
        cacs=cacs,
        cacs_balanced_polyploid=0,
        blood_volume_ul=100.0,
        cacs_per_100ul=float(cacs),
        verdict="insufficient",
        verdict_without_polyploid="insufficient",
        frames=1,
        frames_failed=0,
    )


@pytest.fixture
def filled(database: Database) -> Filled:
    """The record with one filled slide, S1 of patient P1."""
    return fill(database)


@pytest.fixture
def make_source() -> Callable[..., FrameSource]:
    return source


@pytest.fixture
def fill_slide() -> Callable[..., Filled]:
    return fill


@pytest.fixture
def make_result() -> Callable[..., PatientResult]:
    return result
