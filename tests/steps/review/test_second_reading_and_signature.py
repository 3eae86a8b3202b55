"""A second reader reads blind, a third settles, a pathologist signs; a signed result stays as it is."""

from __future__ import annotations

import json

import pytest

from cacapp.db.queries import newest_result
from cacapp.db.review.readings import latest_sign_offs, readings
from cacapp.exceptions import UsageError
from cacapp.results.agreement import agreement
from cacapp.results.reviewed import review_patient, view_of
from cacapp.results.signature import problems_of
from cacapp.steps.review.decide import ConflictError
from cacapp.steps.review.second_reading import finish_second, start_adjudication, start_second
from cacapp.steps.review.sign import amend, sign
from tests.review.conftest import Record


def read_all(record: Record, who: str, class_: str | None = None) -> int:
    last = 0
    for cell in record.flagged():
        done = record.decide(who, cell.cell_id, "accept") if class_ is None else record.decide(who, cell.cell_id, "class", class_=class_)
        last = done.review.id or 0
    return last


def sign_now(record: Record, who: str = "paula", seen: int | None = None):  # type: ignore[no-untyped-def]
    with record.db.reading() as session:
        result = newest_result(session, record.patient_id)
        assert result is not None
    if seen is None:
        from cacapp.db.review.readings import last_review_id

        with record.db.reading() as session:
            seen = last_review_id(session, result.count_run_ids)
    return sign(record.db, record.patient_id, who, run_id=result.run_id, seen=seen)


def test_a_second_reader_begins_only_when_the_first_is_done_and_is_another_person(record: Record) -> None:
    with pytest.raises(ConflictError, match="2 flagged cells"):
        start_second(record.db, record.run_id, "bert")
    read_all(record, "anna")
    with pytest.raises(ConflictError, match="someone who has not read"):
        start_second(record.db, record.run_id, "anna")
    start_second(record.db, record.run_id, "bert")
    with pytest.raises(ConflictError, match="first reading is closed"):
        record.decide("carl", record.flagged()[0].cell_id, "class", class_="gain")


def test_the_second_reader_sees_nothing_of_the_first_and_the_other_way_round(record: Record) -> None:
    read_all(record, "anna", "normal")
    start_second(record.db, record.run_id, "bert")
    record.decide("bert", record.flagged()[0].cell_id, "accept")
    with record.db.reading() as session:
        own = readings(session, [record.run_id])[record.run_id]
        assert view_of(own, "bert").shown == ("second",)
        assert view_of(own, "anna").shown == ("first",)
        assert view_of(own, "paula").shown == ("first",)
        result = newest_result(session, record.patient_id)
        assert result is not None
        assert review_patient(session, result, "bert").reviewed.cacs == 2  # by the software and by bert: not by anna
        assert review_patient(session, result, "anna").reviewed.cacs == 0
        assert agreement(session, record.run_id) is None


def test_disagreement_is_shown_with_kappa_and_settled_by_a_third_person(record: Record) -> None:
    one, two = record.flagged()
    read_all(record, "anna")
    start_second(record.db, record.run_id, "bert")
    with pytest.raises(ConflictError, match="2 flagged cells"):
        finish_second(record.db, record.run_id, "bert")
    record.decide("bert", one.cell_id, "accept")
    record.decide("bert", two.cell_id, "class", class_="gain")
    with pytest.raises(ConflictError, match="nothing to settle"):
        start_adjudication(record.db, record.run_id, "paula")
    finish_second(record.db, record.run_id, "bert")
    with record.db.reading() as session:
        found = agreement(session, record.run_id)
    assert found is not None
    assert [(d.cell_id, d.first.label, d.second.label, d.settled) for d in found.disagreements] == [(two.cell_id, "cac", "gain", None)]
    assert (found.cells, found.same) == (2, 1)
    assert found.kappa == pytest.approx(0.0)  # p_o 1/2; p_e = 1 * 1/2
    with pytest.raises(ConflictError, match="1 disagreement to settle"):
        sign_now(record)
    for reader in ("anna", "bert"):
        with pytest.raises(ConflictError, match="neither"):
            start_adjudication(record.db, record.run_id, reader)
    start_adjudication(record.db, record.run_id, "paula")
    record.decide("paula", two.cell_id, "class", class_="gain")
    assert sign_now(record).record["reviewed"]["cacs"] == 1


def test_nothing_is_signed_while_a_flagged_cell_is_open(record: Record) -> None:
    with pytest.raises(ConflictError, match="2 flagged cells not decided"):
        sign_now(record)


def test_a_signature_freezes_the_result_with_run_assay_and_software(record: Record) -> None:
    last = read_all(record, "anna")
    with pytest.raises(ConflictError, match="decided after you opened"):
        sign_now(record, seen=last - 1)
    signed = sign_now(record)
    assert signed.record["software"]
    assert {(r["step"], r["assay"]["name"] if r["assay"] else None) for r in signed.record["runs"]} == {
        ("segment", None),
        ("count", "katz-4color"),
    }
    assert signed.record["readers"] == [[record.run_id, "first", "anna"]]
    assert (signed.record["automatic"]["cacs"], signed.record["reviewed"]["cacs"]) == (2, 2)
    with record.db.reading() as session:
        assert list(problems_of(session, signed, None, content=True)) == []
    signed.record = json.loads(json.dumps(signed.record).replace('"cacs": 2', '"cacs": 0'))
    with record.db.reading() as session:
        assert any("its record is not" in problem for problem in problems_of(session, signed, None, content=False))


def test_after_the_signature_a_change_needs_an_amendment_with_a_reason(record: Record) -> None:
    last = read_all(record, "anna")
    signed = sign_now(record)
    cell = record.flagged()[0].cell_id
    with pytest.raises(ConflictError, match="signed"):
        record.decide("anna", cell, "class", last - 1, class_="gain")
    with pytest.raises(ConflictError, match="signed already"):
        sign_now(record)
    with pytest.raises(UsageError, match="needs a reason"):
        amend(record.db, record.patient_id, signed.id, "paula", "  ")
    amend(record.db, record.patient_id, signed.id, "paula", "cell 4 was an aggregate")
    with pytest.raises(ConflictError, match="open again already"):
        amend(record.db, record.patient_id, signed.id, "paula", "again")
    record.decide("anna", cell, "class", last - 1, class_="gain")
    again = sign_now(record)
    assert (again.previous_id, again.record["reviewed"]["cacs"]) == (signed.id, 1)
    with record.db.reading() as session:
        assert latest_sign_offs(session, [record.patient_id])[record.patient_id][0].id == again.id
        assert list(problems_of(session, again, None, content=True)) == []
