"""Blind is blind: whatever the first reading decided, its blind reader's every answer is the same; and who could see it cannot become one.

Two records differ in the first reading alone: in one it accepts every flagged cell, in the other it rejects them, with other words
everywhere. Every route that reads is asked in both, in every state of the readings and by every role.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import insert, literal, select

from cacapp.db.engine.base import Table
from cacapp.db.queries import newest_result
from cacapp.db.review.accounts import make_token, require_account
from cacapp.db.review.looks import look_of
from cacapp.db.review.readings import last_review_id, latest_sign_offs
from cacapp.db.runs.ledger import finish_run, start_run
from cacapp.db.tables import Run
from cacapp.exceptions import CacappError
from cacapp.results.patient import refresh_results
from cacapp.results.tally import assay_of
from cacapp.review import api, reports
from cacapp.review.app import PAGES, create_app
from cacapp.review.settings import Settings
from cacapp.steps.review.accounts import add_account, set_role
from cacapp.steps.review.carry_over import carry_over
from cacapp.steps.review.decide import ConflictError
from cacapp.steps.review.second_reading import finish_second, start_second
from cacapp.steps.review.sign import amend, sign
from tests.review.conftest import PASSWORDS, Browser, Record, add_accounts, opened

ROUTES = [("", r) for module in PAGES for r in module.router.routes] + [("/api/v1", r) for r in api.router.routes]
READS = sorted((prefix, r.path) for prefix, r in ROUTES if "GET" in r.methods)
OPEN = {"/login", "/once/{token}", "/static/{name}", "/healthz", "/events"}
CHANGING = (
    r"[0-9a-f]{64}",
    r'name="csrf_token" value="[^"]*"',
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?",
    r'<code class="hash"[^<]*',
)
PASSWORD = "four words for everybody"


@dataclass
class World:
    """A record with an application; ``rejects``: what its first reading decides."""

    record: Record
    pictures: Path
    rejects: bool
    browsers: dict[str, Browser] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.app = create_app(self.record.db, Settings(cache=self.pictures, prefetch_threads=0))

    def browser(self, name: str) -> Browser:
        if name not in self.browsers:
            self.browsers[name] = Browser(self.app)
            if name not in PASSWORDS:
                add_account(self.record.db, name, "reviewer", PASSWORD)
            self.browsers[name].log_in(name, PASSWORDS.get(name, PASSWORD))
        return self.browsers[name]

    def ask(self, name: str, prefix: str, path: str) -> tuple[int, bytes]:
        """The answer to a person, without what differs at each request."""
        cell = self.record.flagged()[0]
        ids = {"patient_id": self.record.patient_id, "slide_id": self.record.slide_id, "cell_id": cell.cell_id, "frame_id": cell.frame_id}
        url = prefix + path.format(**ids, zoom=0, column=0, row=0)
        if path.endswith("/pictures"):
            url += f"?run={self.record.run_id}&cells={cell.cell_id}"
        if path == "/slides/{slide_id}/cells" and not prefix:
            url += "?start=0&group=all"
        browser = self.browser(name)
        headers = {}
        if prefix:
            with self.record.db.session() as session:
                secret = make_token(session, require_account(session, name).id, "blind", 1, False)[1]
            headers["Authorization"] = f"Bearer {secret}"
        answer = browser.get(url, headers=headers)
        if answer.headers["content-type"].startswith("image") or path.endswith("/pictures"):
            return answer.status_code, answer.content
        text = answer.text
        for pattern in CHANGING:
            text = re.sub(pattern, "*", text)
        return answer.status_code, text.encode()

    def looked(self, name: str) -> bool:
        assert self.app.state.later.flush(30)
        with self.record.db.reading() as session:
            return look_of(session, name, "S1") is not None


class Unbuilt:
    """A process that builds no report."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def ask(self, *_: object, **__: object) -> None:
        raise CacappError("no report is built here")


def read_first(world: World) -> None:
    kind, words = ("not_evaluable", "debris, says the first reader") if world.rejects else ("accept", "a fine cell, says the first reader")
    for cell in world.record.flagged():
        written = world.record.decide("reviewer", cell.cell_id, kind, reason=words)
        world.record.decide("reviewer", cell.cell_id, "comment", seen=written.review.id, reason=words)


def sign_and_amend(world: World) -> None:
    read_first(world)
    record, words = world.record, "rejected" if world.rejects else "accepted"
    with record.db.reading() as session:
        result = newest_result(session, record.patient_id)
        assert result is not None
        seen = last_review_id(session, result.count_run_ids)
    sign(record.db, record.patient_id, "pathologist", run_id=result.run_id, seen=seen, comment=words)
    with record.db.reading() as session:
        signed = latest_sign_offs(session, [record.patient_id])[record.patient_id][0]
    amend(record.db, record.patient_id, signed.id, "pathologist", words)


def count_again(world: World) -> None:
    """Reads, signs, amends, counts the same nuclei once more, and carries the first reading over."""
    sign_and_amend(world)
    record = world.record
    with record.db.session() as session:
        old = session.get_one(Run, record.run_id)
        stored = {"assay_name": old.assay_name, "assay_version": old.assay_version, "assay_toml": old.assay_toml}
        new = start_run(
            session,
            step="count",
            slide_id=record.slide_id,
            source_run_id=old.source_run_id,
            fingerprint="again",
            app_version="test",
            algorithms=old.algorithms,
            params=old.params,
            **stored,
        )
        for name in ("signal", "signal_count", "cell_call"):
            table = Table.metadata.tables[name]
            columns = [c for c in table.columns if c.name != "id"]
            values = [literal(new.id) if c.name == "run_id" else c for c in columns]
            session.execute(insert(table).from_select(columns, select(*values).where(table.c.run_id == old.id)))
        session.connection().exec_driver_sql(f"UPDATE run_frame SET status = 'done' WHERE run_id = {new.id}")
        finish_run(session, new.id)
        refresh_results(session, [new.id], assay_of(old), None)
    record.run_id = new.id
    assert len(carry_over(record.db, new.id, "reviewer").ready) == 2


STATES: dict[str, Callable[[World], None]] = {"read once": read_first, "signed and amended": sign_and_amend, "counted again": count_again}


@pytest.fixture(scope="module", params=STATES)
def worlds(request: pytest.FixtureRequest, settled_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, World]]:
    """Two records whose first readings differ, in one state; the second reading has not begun."""
    made = []
    patch = pytest.MonkeyPatch()
    patch.setattr(reports, "ChildProcess", Unbuilt)  # a report takes seconds, and is tested by itself
    for rejects in (False, True):
        folder = tmp_path_factory.mktemp("world")
        shutil.copy(settled_once, folder / "record.db")
        record = opened(str(folder / "record.db"))
        add_accounts(record.db)
        made.append(World(record, folder / "pictures", rejects))
        STATES[request.param](made[-1])
    yield made[0], made[1]
    patch.undo()
    for world in made:
        assert world.app.state.later.flush(30)
        world.record.db.dispose()


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_who_was_shown_the_first_reading_cannot_read_blind_and_whoever_was_not_can(worlds: tuple[World, World]) -> None:
    """Each route is asked by a reviewer of its own: the answer is the same in both records, or a look is recorded."""
    told, kept = [], []
    for number, (prefix, path) in enumerate(READS):
        if path in OPEN:
            continue
        name = f"outsider{number}"
        differ = len({world.ask(name, prefix, path) for world in worlds}) > 1
        if differ:
            assert all(world.looked(name) for world in worlds), prefix + path
        (told if worlds[0].looked(name) else kept).append((name, prefix + path))
    assert {"/cells/{cell_id}", "/slides/{slide_id}", "/patients/{patient_id}/report", "/api/v1/patients"} <= {path for _, path in told}
    assert {"/", "/patients/{patient_id}", "/api/v1/slides"} <= {path for _, path in kept}  # the way to the blind reading shows nothing
    for name, path in told:
        with pytest.raises(ConflictError, match="looked at the first reading"):
            start_second(worlds[0].record.db, worlds[0].record.run_id, name)
        assert worlds[0].browser(name).submit(f"/slides/{worlds[0].record.slide_id}/second").status_code == 409, path


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_the_blind_reader_is_told_nothing_by_any_route_and_everybody_else_goes_on(worlds: tuple[World, World]) -> None:
    for world in worlds:
        assert world.browser("second").get(f"/patients/{world.record.patient_id}").status_code == 200
        assert world.browser("second").submit(f"/slides/{world.record.slide_id}/second").status_code == 303
    told: dict[str, list[str]] = {}
    for prefix, path in READS:
        if path in OPEN:
            continue
        assert len({world.ask("second", prefix, path) for world in worlds}) == 1, prefix + path
        if "/report" not in path:
            for role in ("viewer", "reviewer", "pathologist", "admin"):
                if len({world.ask(role, prefix, path) for world in worlds}) > 1:
                    told.setdefault(role, []).append(prefix + path)
    for role, paths in told.items():  # so the two records differ where it may be seen
        assert {"/cells/{cell_id}", "/slides/{slide_id}", "/patients/{patient_id}", "/api/v1/patients/{patient_id}"} <= set(paths), role
    for name in ("second reader", "debris", "a fine cell"):
        assert name not in worlds[0].ask("second", "", "/patients/{patient_id}")[1].decode()
    for world in worlds:
        for cell in world.record.flagged():
            world.record.decide("second", cell.cell_id, "accept")
        finish_second(world.record.db, world.record.run_id, "second")
    assert len({world.ask("second", "", "/slides/{slide_id}/agreement") for world in worlds}) == 2


def test_a_look_in_an_earlier_count_or_another_role_counts_too(record: Record, tmp_path: Path) -> None:
    add_accounts(record.db)
    world = World(record, tmp_path, rejects=True)
    count_again(world)
    with pytest.raises(ConflictError, match="has not read this slide"):
        start_second(record.db, record.run_id, "reviewer")
    with pytest.raises(ConflictError, match="signed or opened"):
        start_second(record.db, record.run_id, "pathologist")
    set_role(record.db, "viewer", "reviewer", "test")
    with pytest.raises(ConflictError, match="another role"):
        start_second(record.db, record.run_id, "viewer")
    start_second(record.db, record.run_id, "second")


def test_the_pages_before_the_blind_reading_say_what_they_leave_out(record: Record, tmp_path: Path) -> None:
    add_accounts(record.db)
    world = World(record, tmp_path, rejects=True)
    read_first(world)
    browser = world.browser("pathologist")
    assert "not shown here" in browser.get("/").text
    page = browser.get(f"/patients/{record.patient_id}").text
    assert "Reviewed by others" in page
    assert "Read a second time, blind" in page
    assert 'name="password"' not in page  # who signs looks first
    assert 'name="password"' in browser.get(f"/patients/{record.patient_id}?look=true").text
    assert world.looked("pathologist")
    assert "not shown here" not in browser.get("/").text
    assert "Reviewed by others" not in browser.get(f"/patients/{record.patient_id}").text
