"""Slides with known calls, written directly into the database: no pixels, no segmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from cacapp.db import slides
from cacapp.db.cells import calls
from cacapp.db.cells import nuclei as cells
from cacapp.db.engine.session import Database
from cacapp.db.runs import ledger as runs
from cacapp.fish.assay.read import load_assay
from cacapp.fish.calls import call_by_counts
from cacapp.results.patient import refresh_results
from cacapp.runs.environment import environment
from cacapp.types import CHANNELS, ChannelSource, FrameSource, Instance, Shapes


def put(
    database: Database,
    patient: str,
    barcode: str,
    patterns: Sequence[Sequence[int]],
    *,
    assay: str = "katz-4color",
    detector: str = "log",
    evaluable: Sequence[bool] | None = None,
) -> int:
    """A slide with one frame f1 of nuclei 10 px apart in rows of 50, 5 x 5 px each, counted as ``patterns``; the count run's number."""
    definition, n = load_assay(assay), len(patterns)
    digest = runs.fingerprint(slide=barcode)
    channels = tuple(ChannelSource(c, c, f"/nowhere/{barcode}.tif", i, digest) for i, c in enumerate(CHANNELS))
    side = 10 * max(50, n // 50 + 1)
    source = FrameSource("f1", f"/nowhere/{barcode}.tif", digest, "", "none", side, 510, "uint16", 0.1, channels)
    counts = np.array(patterns).reshape(n, len(definition.probes))
    exclusions = [None if evaluable is None or evaluable[i] else "edge" for i in range(n)]
    with database.session() as session:
        slide = slides.register_slide(session, patient, barcode, 100.0)
        frame = slides.add_frame(session, slide, source)
        assert frame is not None
        assert frame.id is not None
        assert slide.id is not None
        same: dict[str, Any] = {"slide_id": slide.id, "app_version": "1"}
        segment = runs.start_run(session, step="segment", fingerprint="s", **same).id
        ones = np.ones(n)
        shapes = Shapes(25 * ones, 5 * ones, 5 * ones, ones, ones, ones > 1, 0.1)
        nuclei = [Instance((10 * (i % 50) + 2, 10 * (i // 50) + 2, 5, 5), np.ones((5, 5), bool)) for i in range(n)]
        centres = np.array([[10 * (i // 50) + 4, 10 * (i % 50) + 4] for i in range(n)], float)
        ids = cells.write_cells(session, segment, frame.id, nuclei, shapes, centres)
        runs.record_frame(session, segment, frame.id, "done")
        runs.finish_run(session, segment)
        record = {
            "kind": "signal-detector",
            "name": detector,
            "distribution": "cacapp",
            "version": "1",
            "params": {},
            "weights_sha256": None,
        }
        count = runs.start_run(
            session,
            step="count",
            fingerprint="c",
            source_run_id=segment,
            algorithms={"chosen": [record], "environment": environment("count")},
            assay_name=definition.name,
            assay_version=definition.version,
            assay_toml=definition.toml(),
            **same,
        ).id
        calls.write_counts(session, count, ids, counts, [CHANNELS.index(c) for c in definition.channels])
        calls.write_calls(session, count, ids, call_by_counts(counts, exclusions, definition))
        runs.record_frame(session, count, frame.id, "done")
        runs.finish_run(session, count)
        refresh_results(session, [count], definition, None)
        return count


@pytest.fixture
def put_slide() -> Callable[..., int]:
    return put
