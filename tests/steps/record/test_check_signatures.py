"""Whoever changes what was signed or decided is found: by `db check`, by the patient's page, by the report; in words that name it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import Connection, text
from sqlmodel import Session

from cacapp.db import checks
from cacapp.db.engine.session import migration_connection
from cacapp.db.review import signed_content
from cacapp.db.review.chain import LINKED, head, link_rows
from cacapp.db.review.guards import KEYS, postgres_statements, sqlite_triggers
from cacapp.results.signature import signature_problems
from cacapp.steps.record.check import ROWS, check
from cacapp.steps.record.copy import copy
from cacapp.steps.record.prune import prune
from cacapp.steps.review.decide import Action, decide
from cacapp.steps.review.sign import amend, sign
from tests.review.conftest import Record, counted, opened, record, settled_once, settled_template

__all__ = ["counted", "record", "settled_once", "settled_template"]


def sign_all(record: Record) -> int:
    """Accepts every flagged cell, comments one, and signs; returns the signature's number."""
    last = 0
    for cell in record.flagged():
        last = record.decide("anna", cell.cell_id, "accept").review.id
    last = record.decide("anna", record.of_class("normal").cell_id, "comment", reason="small").review.id
    return sign(record.db, record.patient_id, "paula", run_id=record.run_id, seen=last, comment="as expected").id


@pytest.fixture
def signed(record: Record) -> Record:
    sign_all(record)
    return record


def forge(record: Record, *statements: str) -> None:
    """Runs statements as somebody with the file could: the guards are taken off before, and put back after."""
    with migration_connection(record.url) as connection:
        forge_in(connection, *statements)


def forge_in(connection: Connection, *statements: str) -> None:
    on_postgres = connection.dialect.name == "postgresql"
    for table in KEYS:
        off = [f"ALTER TABLE {table} DISABLE TRIGGER USER"] if on_postgres else [f"DROP TRIGGER {name}" for name in sqlite_triggers(table)]
        for sql in off:
            connection.execute(text(sql))
    for statement in statements:
        assert connection.execute(text(statement)).rowcount > 0, statement
    for table in KEYS:
        for sql in postgres_statements(table)[2:] if on_postgres else sqlite_triggers(table).values():
            connection.execute(text(sql))


WHEN = "'2026-01-02 03:04:05'"
CAC = "(SELECT min(cell_id) FROM cell_call WHERE is_cac)"
A_COUNT = f"UPDATE signal_count SET n = n + 1 WHERE cell_id = {CAC} AND channel = 1"
THE_SIGNER = "UPDATE sign_off SET signer = 'mallory'"
OTHER = ("CAST(replace(CAST(", " AS TEXT), '2', '1') AS JSON_HERE)")
FORGED = [
    (THE_SIGNER, r"signature 1 \(patient P1, by mallory\) was changed"),
    (THE_SIGNER, "its signer is 'mallory', the signed record says 'paula'"),
    (f"UPDATE sign_off SET signed_at = {WHEN}", "its signed at is '2026-01-02T03:04:05"),
    ("UPDATE sign_off SET comment = NULL", "its comment is None"),
    (f"UPDATE sign_off SET record = {'record'.join(OTHER)}", "its record is not the one that was signed"),
    ("UPDATE review SET reviewer = 'mallory' WHERE id = 2", r"review 2 \(cell \d+, run 2, accept by mallory\) was changed"),
    (f"UPDATE review SET after = {'after'.join(OTHER)} WHERE id = 1", r"review 1 \(cell"),
    (f"UPDATE review SET created_at = {WHEN} WHERE id = 1", "its reviews are not those that were signed"),
    ("DELETE FROM review WHERE id = 3", "it covers 3 reviews, there are 2"),
    ("UPDATE reading SET reviewer = 'mallory'", r"the readers \(reading\) were changed"),
    ("UPDATE patient_result SET cacs = 0", r"the automatic result \(patient_result\) was changed"),
    ("UPDATE slide SET blood_volume_ul = 50", "slide S1: its barcode, patient or blood volume was changed"),
    ("UPDATE patient SET code = 'P2'", "its patient is 'P2', the signed record says 'P1'"),
    ("UPDATE run SET assay_toml = replace(assay_toml, '3', '4') WHERE id = 2", "run 2: its settings, assay or software were changed"),
    ("UPDATE run SET seed = 7 WHERE id = 1", "run 1: its settings, assay or software were changed"),
    ("UPDATE channel SET sha256 = 'x' WHERE frame_id = 2", "frame frame01: its files or channels were changed"),
    (f"UPDATE cell SET area_px = area_px + 1 WHERE id = {CAC}", "run 1: cells of frame frame0. were changed"),
    ("UPDATE cell SET mask = (SELECT mask FROM cell WHERE id = 1) WHERE id = 2", "run 1: cells of frame frame00 were changed"),
    (A_COUNT, "run 2: counts of cells of frame frame0. were changed"),
    (f"UPDATE cell_call SET class = 'normal', is_cac = (1 = 0) WHERE cell_id = {CAC}", "run 2: calls of cells of frame frame0. were"),
    ("UPDATE signal SET snr = snr + 1 WHERE cell_id = 1 AND number = 0", "run 2: signals of cells of frame frame00 were changed"),
]
"""A change that nobody but somebody with the file can make, and the words that name it."""


def test_each_change_after_the_signature_is_named_by_the_check_and_to_who_reads_the_result(signed: Record) -> None:
    on_sqlite = signed.db.engine.dialect.name == "sqlite"
    for template, words in FORGED:
        statement = template.replace("JSON_HERE", "TEXT" if on_sqlite else "JSON")
        with Session(signed.db.engine) as session:  # never committed
            forge_in(session.connection(), statement)
            checked = [f"{p.kind}: {p.what}" for p in (*checks.chain(session), *checks.append_only(session), *ROWS["signatures"](session))]
            shown = signature_problems(session, signed.patient_id)
            session.rollback()
        assert any(re.search(words, line) for line in checked), (statement, checked)
        assert any(re.search(words, line) for line in shown), (statement, shown)
    assert check(signed.db, "none").problems == ()
    with signed.db.reading() as session:
        assert signature_problems(session, signed.patient_id) == ()


@pytest.mark.parametrize("statement", [THE_SIGNER, A_COUNT])
def test_a_changed_result_is_not_shown_as_signed_silently(counted: Callable[..., Any], signed: Record, statement: str) -> None:
    assert counted("db", "check", "--files", "none", "--quiet").code == 0
    forge(signed, statement)
    ended = counted("db", "check", "--files", "none", "--quiet")
    assert ended.code == 1
    assert any(line.startswith("error: signatures: signature 1 of patient P1") for line in ended.lines("error"))
    (found,) = counted("patients", "--json").json
    assert "changed outside cacapp since" in found["review"]["standing"]
    assert len(found["review"]["changed_since"]) >= 1
    assert "changed outside cacapp: " in " ".join(counted("patients").out.split())
    assert counted("report", "--format", "html", "--out", "pages", "--quiet").code == 0
    page = BeautifulSoup(Path("pages/P1.html").read_text(), "html.parser").get_text(" ", strip=True)
    assert "The database was changed outside cacapp: " in page


def test_the_report_shows_the_head_that_proves_later_what_was_signed(counted: Callable[..., Any], signed: Record) -> None:
    (found,) = counted("patients", "--json").json
    kept = found["review"]["head"]
    assert counted("report", "--format", "html", "--out", "pages", "--quiet").code == 0
    assert kept in BeautifulSoup(Path("pages/P1.html").read_text(), "html.parser").get_text(" ", strip=True)
    assert counted("db", "check", "--files", "none", "--quiet", "--head", kept).code == 0
    newest = counted("db", "head").out.strip()
    assert newest.partition(":")[0] == str(int(kept.partition(":")[0]) + 1)  # the audit's line about the signature
    assert counted("db", "check", "--files", "none", "--quiet", "--head", newest).code == 0
    wrong = counted("db", "check", "--files", "none", "--quiet", "--head", f"3:{'0' * 64}")
    assert (wrong.code, "is not in the chain" in wrong.err) == (1, True)
    assert counted("db", "check", "--head", "latest").code == 2


def problems(record: Record, **options: Any) -> list[str]:
    record.db.dispose()
    return [f"{p.kind}: {p.what}" for p in check(record.db, "none", **options).problems]


def test_rows_of_the_audit_and_links_of_the_chain_that_are_changed_or_gone_are_named(signed: Record) -> None:
    forge(signed, "UPDATE audit_event SET account = 'mallory' WHERE action = 'signed'")
    assert problems(signed) == ["chain: audit event 1 (signed by mallory) was changed after it was written"]
    forge(signed, "UPDATE audit_event SET account = 'paula' WHERE action = 'signed'")
    assert problems(signed) == []
    forge(signed, "UPDATE chain_link SET row_sha256 = 'x' WHERE id = 2")
    assert "chain: link 2 (of review 2) does not fit: it or a link before it was changed" in problems(signed)


def test_a_row_that_is_removed_with_its_link_leaves_a_gap(signed: Record) -> None:
    forge(signed, "DELETE FROM chain_link WHERE row_table = 'review' AND row_id = 3", "DELETE FROM review WHERE id = 3")
    assert "chain: link 3 is missing: rows of the record were removed" in problems(signed)
    with signed.db.reading() as session:
        assert any("the chain has 4 links up to number 5 for 4 rows" in line for line in signature_problems(session, signed.patient_id))


def test_a_row_that_cacapp_did_not_write_is_found(signed: Record, ask: Callable[..., Any]) -> None:
    ask(f"INSERT INTO audit_event (id, at, account, action, subject, details, address) VALUES (99, {WHEN}, 'm', 'signed', '', '{{}}', '')")
    assert problems(signed) == ["chain: audit event 99 (signed by m) was not written by cacapp: the chain has no link of it"]


def test_a_recomputed_chain_is_found_by_a_head_that_was_kept(signed: Record) -> None:
    with signed.db.reading() as session:
        kept = head(session)
    assert kept is not None
    assert problems(signed, head=kept) == []
    forge(signed, "UPDATE audit_event SET account = 'mallory' WHERE action = 'signed'", "DELETE FROM chain_link")
    with migration_connection(signed.url) as connection:
        for table in LINKED:
            ids = [row[0] for row in connection.execute(text(f"SELECT id FROM {table} ORDER BY id"))]
            link_rows(connection, [(table, i) for i in ids], "cacapp 0.1.0")
    assert problems(signed) == []  # with the file and the code, everything inside can be made to fit
    (found,) = problems(signed, head=kept)
    assert found.startswith(f"chain: the head {kept.id}:{kept.sha256[:12]}… is not in the chain, its digest is another one")


def test_a_database_set_back_to_an_older_copy_lacks_the_head(signed: Record) -> None:
    with signed.db.reading() as session:
        kept = head(session)
    assert kept is not None
    forge(signed, f"DELETE FROM chain_link WHERE id = {kept.id}", "DELETE FROM audit_event WHERE action = 'signed'")
    (found,) = problems(signed, head=kept)
    assert f"the chain ends at link {kept.id - 1}" in found


@pytest.mark.slow
def test_a_signature_is_checked_against_what_it_covered_when_it_is_reopened_and_the_slide_counted_again(
    counted: Callable[..., Any], record: Record
) -> None:
    first = sign_all(record)
    amend(record.db, record.patient_id, first, "paula", "once more")
    cell = record.flagged()[0].cell_id
    with record.db.reading() as session:
        seen = session.execute(text("SELECT max(id) FROM review WHERE cell_id = :cell"), {"cell": cell}).scalar_one()
    newest = decide(record.db, "bert", cell, Action("class", class_="gain"), run_id=record.run_id, seen=seen).review.id
    sign(record.db, record.patient_id, "paula", run_id=record.run_id, seen=newest)
    assert counted("count", "S1", "--force", "--quiet").code == 0
    assert counted("count", "S1", "--force", "--quiet").code == 0
    assert problems(record) == []
    assert [run.run_id for run in prune(record.db, delete=True).runs] == [3]
    assert problems(record) == []
    forge(record, "UPDATE signal_count SET n = 9 WHERE run_id = 2 AND cell_id = 1")
    assert [p.partition(":")[0] for p in problems(record)] == ["signatures", "signatures"]


def test_a_column_that_a_later_version_adds_does_not_break_earlier_signatures(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = signed_content._columns()
    fewer = whole | {"cell_call": [name for name in whole["cell_call"] if name != "margin"]}
    with monkeypatch.context() as earlier:
        earlier.setattr(signed_content, "_columns", lambda: fewer)
        sign_all(record)
    assert problems(record) == []
    forge(record, "UPDATE cell_call SET margin = 7")
    assert problems(record) == []
    forge(record, "UPDATE cell_call SET needs_review = (1 = 1) WHERE cell_id = 1")
    assert problems(record) == ["signatures: signature 1 of patient P1 by paula: run 2: calls of cells of frame frame00 were changed"]


@pytest.mark.slow
@pytest.mark.postgres
def test_the_chain_and_what_was_signed_fit_in_a_copy_on_the_other_kind_of_database(
    signed: Record, database_kind: str, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    target = str(tmp_path / "copy.db") if database_kind == "postgresql" else request.getfixturevalue("postgres_url")
    with signed.db.reading() as session:
        kept = head(session)
    copy(signed.db, target)
    there = opened(target)
    assert check(there.db, "none", head=kept).problems == ()
    forge(there, "UPDATE signal_count SET n = 9 WHERE cell_id = 1 AND channel = 1")
    assert len(check(there.db, "none").problems) == 1
    there.db.dispose()
