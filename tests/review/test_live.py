"""Progress of running runs reaches those who watch; pictures are drawn before anyone asks; a file that changed is not shown."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from cacapp.db.runs.ledger import finish_run, frames_in_state, record_frame, start_run
from cacapp.db.slides import frames_of
from cacapp.review.context import ReviewContext
from cacapp.review.live import Live, running
from cacapp.review.prefetch import Prefetcher
from cacapp.review.settings import Settings
from tests.review.conftest import Browser, Record

Visit = Callable[..., Browser]


def test_a_running_run_is_reported_frame_by_frame_until_it_ends(record: Record) -> None:
    with record.db.session() as session:
        run = start_run(session, step="count", slide_id=record.slide_id, fingerprint="live", app_version="test")
        assert run.id is not None
        frames = [f.id for f in frames_in_state(session, run.id, "pending")]
    told = []
    for n, state in enumerate(("done", "failed")):
        with record.db.reading() as session:
            told.append(running(session))
        with record.db.session() as session:
            record_frame(session, run.id, frames[n] or 0, state)
    with record.db.reading() as session:
        told.append(running(session))
    assert [(r["step"], r["barcode"], r["done"], r["failed"], r["frames"]) for (r,) in told] == [
        ("count", "S1", 0, 0, 2),
        ("count", "S1", 1, 0, 2),
        ("count", "S1", 2, 1, 2),
    ]

    async def admitted() -> None:
        """The person stays admitted."""

    async def first_events() -> list[str]:
        ended = asyncio.Event()
        events = Live(record.db).events(ended, "reviewer", admitted)
        found = [await anext(events)]
        with record.db.session() as session:
            finish_run(session, run.id or 0)
        found.append(await asyncio.wait_for(anext(events), 10))
        ended.set()
        return [*found, *[event async for event in events]]

    one, two = asyncio.run(first_events())
    assert json.loads(one.split("data: ")[1])[0]["done"] == 2
    assert json.loads(two.split("data: ")[1]) == []


@pytest.mark.sqlite_only
def test_flagged_cells_are_drawn_ahead_for_the_gallery_and_their_own_pages(record: Record, tmp_path: Path) -> None:
    context = ReviewContext(record.db, Settings(cache=tmp_path / "pictures"))
    ahead = Prefetcher(context, 1)
    ahead.start()
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.rglob("*.webp"))) < 2 * len(record.flagged()) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        ahead.stop()
    assert len(list(tmp_path.rglob("*.webp"))) == 2 * len(record.flagged())


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.sqlite_only
def test_a_frame_whose_file_is_gone_costs_its_pictures_only(staffed: Record, visit: Visit) -> None:
    browser = visit("reviewer")
    cell = staffed.flagged()[0].cell_id
    with staffed.db.session() as session:
        assert frames_of(session, staffed.slide_id)
        session.execute(text("UPDATE channel SET uri = '/gone/frame.ome.tif'"))
    answer = browser.get(f"/cells/{cell}/sprite.webp")
    assert answer.status_code == 503
    assert "/gone/frame.ome.tif" in answer.text
    assert browser.get(f"/cells/{cell}").status_code == 200
    assert browser.decide(staffed, cell, "accept").status_code == 200
    assert browser.report(f"/patients/{staffed.patient_id}/report").status_code == 200
