"""A decision is one row: appended, recounted by the assay's rule, undone by another row, never changed."""

from __future__ import annotations

import random
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from cacapp.db.cells.states import dots_of_cells, machine_states
from cacapp.db.queries import newest_result
from cacapp.db.review.readings import reviews_of_cell
from cacapp.exceptions import CacappError, UsageError
from cacapp.fish.assay.read import load_assay
from cacapp.fish.review import AddedSignal, State, add_signal, cohens_kappa, recounted, remove_signal
from cacapp.results.reviewed import review_patient
from cacapp.steps.review.decide import ConflictError
from tests.review.conftest import Record

KATZ = load_assay("katz-4color")


def reviewed(record: Record):  # type: ignore[no-untyped-def]
    with record.db.reading() as session:
        result = newest_result(session, record.patient_id)
        assert result is not None
        return review_patient(session, result)


def test_a_class_given_by_a_person_is_shown_beside_the_softwares(record: Record) -> None:
    cac = record.of_class("cac")
    before = reviewed(record)
    outcome = record.decide("anna", cac.cell_id, "class", class_="normal")
    assert (outcome.state.class_, outcome.state.is_cac, outcome.state.decided) == ("normal", False, True)
    after = reviewed(record)
    assert after.automatic == before.automatic == before.reviewed
    assert after.reviewed.cacs == before.reviewed.cacs - 1
    assert after.reviewed.classes["normal"] == before.reviewed.classes["normal"] + 1
    assert (after.decided, after.changed, after.open) == (1, 1, before.open - 1)
    row = outcome.review
    assert (row.reviewer, row.before["class"], row.after["class"], row.created_at.tzinfo is not None) == ("anna", "cac", "normal", True)


@pytest.mark.slow
def test_signals_are_recounted_by_the_assays_rule_at_once(record: Record) -> None:
    cell = record.of_class("normal")
    with record.db.reading() as session:
        dot = next(d for d in dots_of_cells(session, record.run_id, [cell.cell_id])[cell.cell_id] if d.counted)
    seen = 0
    classes = []
    for channel in ("red", "green"):
        outcome = record.decide("anna", cell.cell_id, "signal_added", seen, channel=channel, y_px=dot.y_px + 3, x_px=dot.x_px)
        seen = outcome.review.id
        classes.append(outcome.state.class_)
    assert classes == ["gain", "cac"]
    assert reviewed(record).reviewed.cacs == reviewed(record).automatic.cacs + 1
    outcome = record.decide("anna", cell.cell_id, "signal_removed", seen, channel=dot.channel, number=dot.number)
    assert outcome.state.counts[dot.channel] == outcome.review.before["counts"][dot.channel] - 1
    with pytest.raises(UsageError, match="does not count"):
        record.decide("anna", cell.cell_id, "signal_removed", outcome.review.id, channel=dot.channel, number=dot.number)
    back = record.decide("anna", cell.cell_id, "signal_added", outcome.review.id, channel=dot.channel, number=dot.number)
    assert back.state.removed == ()
    assert back.state.counts[dot.channel] == outcome.review.before["counts"][dot.channel]


def test_two_near_dots_merge_into_one_and_far_ones_do_not(record: Record) -> None:
    cell = record.of_class("normal")
    with record.db.reading() as session:
        dots = [d for d in dots_of_cells(session, record.run_id, [cell.cell_id])[cell.cell_id] if d.counted and d.channel == "red"]
    with pytest.raises(UsageError, match="no split signal"):
        record.decide("anna", cell.cell_id, "signals_merged", channel="red", number=dots[0].number, into=("number", dots[1].number))
    added = record.decide("anna", cell.cell_id, "signal_added", channel="red", y_px=dots[0].y_px + 2, x_px=dots[0].x_px)
    merged = record.decide("anna", cell.cell_id, "signals_merged", added.review.id, channel="red", added=0, into=("number", dots[0].number))
    assert (added.state.counts["red"], merged.state.counts["red"], merged.state.added) == (3, 2, ())


def test_undo_is_a_row_of_its_own_and_goes_back_step_by_step(record: Record) -> None:
    cac = record.of_class("cac")
    seen, states = 0, []
    for kind, more in (("class", {"class_": "gain"}), ("not_evaluable", {"reason": "aggregate"}), ("undo", {}), ("undo", {})):
        outcome = record.decide("anna", cac.cell_id, kind, seen, **more)
        seen = outcome.review.id
        states.append(outcome.state.label)
    assert states == ["gain", "not evaluable", "gain", "cac"]
    assert outcome.state.decided is False
    with pytest.raises(UsageError, match="nothing to undo"):
        record.decide("anna", cac.cell_id, "undo", seen)
    with record.db.reading() as session:
        rows = reviews_of_cell(session, cac.cell_id, record.run_id)
        assert [r.kind for r in rows] == ["class", "not_evaluable", "undo", "undo"]
        assert [r.undoes for r in rows] == [None, None, rows[1].id, rows[0].id]
    assert reviewed(record).reviewed == reviewed(record).automatic


def test_a_comment_changes_nothing(record: Record) -> None:
    cac = record.of_class("cac")
    record.decide("anna", cac.cell_id, "comment", reason="  look at the green channel ")
    found = reviewed(record)
    assert (found.decided, found.reviewed) == (0, found.automatic)


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("class", {"class_": "tumour"}, "none of the assay's"),
        ("not_evaluable", {"reason": " "}, "say why"),
        ("comment", {"reason": ""}, "needs a text"),
        ("comment", {"reason": "x" * 3000}, "too long"),
        ("signal_added", {"channel": "DAPI", "y_px": 1.0, "x_px": 1.0}, "no probe channel"),
        ("signal_added", {"channel": "red", "y_px": 1e6, "x_px": 1.0}, "not on cell"),
        ("signal_added", {"channel": "red"}, "give the position"),
        ("signal_removed", {"channel": "red", "number": 99}, "no red dot 99"),
        ("signal_removed", {"channel": "red", "added": 4}, "no such added"),
        ("dance", {}, "choose one of"),
    ],
)
def test_an_action_that_makes_no_sense_is_refused_and_writes_nothing(
    record: Record, kind: str, more: dict[str, object], words: str
) -> None:
    cell = record.of_class("normal")
    with pytest.raises(UsageError, match=words):
        record.decide("anna", cell.cell_id, kind, **more)
    with record.db.reading() as session:
        assert reviews_of_cell(session, cell.cell_id, record.run_id) == []


def test_the_same_action_sent_twice_is_one_row(record: Record) -> None:
    cac = record.of_class("cac")
    one = record.decide("anna", cac.cell_id, "accept", key="k1")
    two = record.decide("anna", cac.cell_id, "accept", key="k1")
    assert (two.repeated, two.review.id) == (True, one.review.id)
    with pytest.raises(ConflictError):
        record.decide("bert", cac.cell_id, "accept", one.review.id, key="k1")


def test_a_decision_made_on_an_outdated_view_is_refused_with_the_reason(record: Record) -> None:
    cac = record.of_class("cac")
    record.decide("anna", cac.cell_id, "accept")
    with pytest.raises(ConflictError, match="decided by anna"):
        record.decide("bert", cac.cell_id, "class", 0, class_="normal")


def test_when_ten_decide_one_cell_at_once_one_succeeds(record: Record) -> None:
    cac = record.of_class("cac")
    done: list[str] = []

    def act(name: str) -> None:
        try:
            record.decide(name, cac.cell_id, "accept")
            done.append(name)
        except CacappError:
            pass

    threads = [threading.Thread(target=act, args=(f"r{i}",)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with record.db.reading() as session:
        assert [r.reviewer for r in reviews_of_cell(session, cac.cell_id, record.run_id)] == done
    assert len(done) == 1


@pytest.mark.parametrize("statement", ["UPDATE review SET reviewer = 'eve'", "DELETE FROM review"])
def test_the_database_itself_refuses_to_change_a_review(record: Record, statement: str) -> None:
    record.decide("anna", record.of_class("cac").cell_id, "accept")
    with pytest.raises(DatabaseError, match="append-only"), record.db.session() as session:
        session.execute(text(statement))


def test_a_record_of_a_state_says_all_of_it(record: Record) -> None:
    with record.db.reading() as session:
        states = machine_states(session, record.run_id, [c.cell_id for c in record.cells])
    assert len(states) == len(record.cells)
    for state in states.values():
        edited = recounted(add_signal(state, AddedSignal("red", 4.5, 6.0), KATZ), KATZ)
        assert State.of_record(edited.record()) == edited


def test_adding_and_removing_in_any_order_keeps_counts_and_dots_in_step(record: Record) -> None:
    rng = random.Random(5)
    with record.db.reading() as session:
        cell = record.of_class("gain").cell_id
        state = machine_states(session, record.run_id, [cell])[cell]
        dots = dots_of_cells(session, record.run_id, [cell])[cell]
    for _ in range(200):
        channel = rng.choice(KATZ.channels)
        own = [d for d in dots if d.channel == channel]
        try:
            match rng.randrange(4):
                case 0:
                    state = add_signal(state, AddedSignal(channel, rng.random(), rng.random()), KATZ)
                case 1:
                    dot = rng.choice(own)
                    state = add_signal(state, AddedSignal(channel, dot.y_px, dot.x_px, dot.number), KATZ)
                case 2:
                    state = remove_signal(state, channel, rng.choice(own), None, KATZ)
                case _:
                    state = remove_signal(state, channel, None, rng.randrange(3), KATZ)
        except UsageError:
            continue
        for c in KATZ.channels:
            machine = sum(d.counted and (d.channel, d.number) not in state.removed for d in dots if d.channel == c)
            assert state.counts[c] == machine + sum(a.channel == c for a in state.added)


def test_kappa_is_cohens() -> None:
    assert cohens_kappa(["a", "b"], ["a", "b"]) == 1.0
    assert cohens_kappa(["a", "b"], ["b", "a"]) == -1.0
    assert cohens_kappa([], []) is None
    assert cohens_kappa(["a"], ["a"]) is None
    # Landis & Koch style table: 45 + 25 on the diagonal of 100, margins 60/40 and 60/40: p_o 0.7, p_e 0.52
    first = ["x"] * 60 + ["y"] * 40
    second = ["x"] * 45 + ["y"] * 15 + ["x"] * 15 + ["y"] * 25
    assert cohens_kappa(first, second) == pytest.approx((0.7 - 0.52) / 0.48)
