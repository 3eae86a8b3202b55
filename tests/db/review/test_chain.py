"""Every row of the record has one link, in one line, whoever writes at the same time; older databases get theirs by the migration."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from cacapp.db.engine.session import Database, open_database, upgrade
from cacapp.db.review.chain import GENESIS, Head, Link, head, links
from cacapp.db.review.chain_checks import broken_links, broken_rows
from cacapp.db.review.guards import missing_guards
from cacapp.db.review.readings import write_event
from cacapp.exceptions import UsageError

Ask = Callable[..., list[tuple[Any, ...]]]


def chain(database: Database) -> list[Link]:
    with database.reading() as session:
        return list(links(session.connection()))


def wrong(database: Database) -> list[str]:
    with database.reading() as session:
        connection = session.connection()
        return [*broken_links(connection), *broken_rows(connection), *missing_guards(connection)]


def test_each_row_has_a_link_that_names_the_one_before(recorded: Database) -> None:
    found = chain(recorded)
    assert [link.id for link in found] == list(range(1, 9))
    assert [link.previous_sha256 for link in found] == [GENESIS, *(link.sha256 for link in found[:-1])]
    assert [(link.row_table, link.row_id) for link in found[:4]] == [("review", 1), ("review", 2), ("sign_off", 1), ("sign_off", 2)]
    assert {link.origin.split()[0] for link in found} == {"cacapp"}
    assert wrong(recorded) == []


def test_a_transaction_that_is_rolled_back_leaves_neither_row_nor_link(recorded: Database) -> None:
    def fail() -> None:
        with recorded.session() as session:
            write_event(session, "anna", "tried")
            raise ZeroDivisionError

    before = chain(recorded)
    with pytest.raises(ZeroDivisionError):
        fail()
    assert chain(recorded) == before


def test_the_chain_stays_one_line_when_many_write_at_once(recorded: Database) -> None:
    together = threading.Barrier(8)

    def work(number: int) -> None:
        together.wait()
        for turn in range(6):
            with recorded.session() as session:
                write_event(session, f"reader {number}", "looked", turn=turn)
                write_event(session, f"reader {number}", "left", turn=turn)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    found = chain(recorded)
    assert len(found) == 8 + 8 * 6 * 2
    assert wrong(recorded) == []


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_who_appends_waits_for_the_others_at_its_commit_alone(recorded: Database) -> None:
    """Two that append and then want each other's rows would wait in a circle, if they locked the chain when they append."""
    with recorded.session() as session:
        write_event(session, "anna", "begun first")
        ended: list[str] = []

        def other() -> None:
            with recorded.session() as second:
                write_event(second, "bert", "begun second")
            ended.append("committed")

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()  # for ever, if it needed what the first one has
        assert ended == ["committed"]
    assert wrong(recorded) == []


def test_a_database_from_before_the_chain_is_linked_by_the_migration_which_the_links_say(
    recorded: Database, record_url: str, ask: Ask
) -> None:
    before = {(link.row_table, link.row_id): link.row_sha256 for link in chain(recorded)}
    recorded.dispose()
    assert upgrade(record_url, "0009").current == "0009"
    with pytest.raises(Exception, match="append-only"):
        ask("UPDATE review SET reviewer = 'mallory'")
    assert upgrade(record_url).up_to_date
    again = open_database(record_url)
    found = chain(again)
    assert {(link.row_table, link.row_id): link.row_sha256 for link in found} == before
    assert {link.origin for link in found} == {"migration 0010"}
    assert wrong(again) == []
    with again.session() as session:
        write_event(session, "anna", "logged in")
    assert wrong(again) == []
    again.dispose()


def test_a_change_of_a_row_that_the_migration_linked_says_so(recorded: Database, record_url: str, ask: Ask, database_kind: str) -> None:
    recorded.dispose()
    upgrade(record_url, "0009")
    upgrade(record_url)
    off = "DROP TRIGGER amendment_no_update" if database_kind == "sqlite" else "ALTER TABLE amendment DISABLE TRIGGER USER"
    ask(off)
    ask("UPDATE amendment SET reason = 'another' WHERE id = 2")
    again = open_database(record_url)
    assert "amendment 2 (of signature 2, by paula) was changed after it was written and linked (migration 0010)" in wrong(again)
    again.dispose()


def test_the_head_is_read_as_it_is_printed(recorded: Database) -> None:
    with recorded.reading() as session:
        newest = head(session)
        assert newest is not None
        assert Head.of(f" {newest}\n") == newest
        assert list(broken_links(session.connection(), newest)) == []
        assert session.execute(text("SELECT count(*) FROM chain_link")).scalar_one() == newest.id
    for text_ in ("", "8", f"8:{'a' * 63}", f"eight:{'a' * 64}", f"8:{'G' * 64}", f"²:{'a' * 64}"):
        with pytest.raises(UsageError, match="cacapp db head"):
            Head.of(text_)
