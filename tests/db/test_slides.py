"""Patients, slides and frames: each belongs where it belongs, once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, func, select

from cacapp.db import slides
from cacapp.db.engine.session import Database
from cacapp.db.tables import FrameRow, Patient
from cacapp.exceptions import CacappError, UsageError
from cacapp.types import ChannelSource, FrameSource

Make = Callable[..., FrameSource]

words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=20)
lengths = st.floats(1e-6, 1e6)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
channel_sources = st.builds(
    ChannelSource, words, words, words, st.integers(0, 99), digests, st.none() | lengths, st.none() | digests, st.none() | digests
)
frame_sources = st.builds(
    FrameSource,
    name=words,
    uri=words,
    sha256=digests,
    scene=words | st.just(""),
    projection=st.sampled_from(["none", "max", "focus"]),
    height_px=st.integers(1, 100_000),
    width_px=st.integers(1, 100_000),
    dtype=st.sampled_from(["uint8", "uint16"]),
    pixel_size_um=st.none() | lengths,
    channels=st.lists(channel_sources, min_size=1, max_size=6).map(tuple),
    stage_x_um=st.none() | st.floats(-1e6, 1e6),
    stage_y_um=st.none() | st.floats(-1e6, 1e6),
    reader=st.none() | words,
    reader_version=st.none() | words,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=frame_sources)
def test_a_frame_source_comes_back_exactly(database: Database, source: FrameSource) -> None:
    with database.engine.connect() as connection, Session(connection, expire_on_commit=False) as session:
        slide = slides.register_slide(session, "P1", "S1")
        row = slides.add_frame(session, slide, source)
        assert row is not None
        session.expire_all()
        assert slides.frame_source(session, session.get_one(FrameRow, row.id)) == source
        session.rollback()


def test_the_same_slide_again_is_the_same_slide(database: Database) -> None:
    with database.session() as session:
        first = slides.register_slide(session, "P1", "S1", 50.0, "thick smear")
    with database.session() as session:
        again = slides.register_slide(session, "P1", "S1", 50.0)
        assert (again.id, again.notes) == (first.id, "thick smear")
        assert session.exec(select(func.count()).select_from(Patient)).one() == 1


def test_registering_the_same_slide_at_the_same_time_waits_and_returns_it(database: Database) -> None:
    begun, found = threading.Event(), []

    def other() -> None:
        begun.set()
        with database.session() as session:
            found.append(slides.register_slide(session, "P1", "S1", 50.0).id)

    second = threading.Thread(target=other)
    with database.session() as session:
        first = slides.register_slide(session, "P1", "S1", 50.0)
        second.start()
        begun.wait()
        second.join(0.5)
        assert second.is_alive(), "it waits"
    second.join(20)
    assert found == [first.id]


def test_an_unknown_volume_may_be_filled_in_later_and_is_not_taken_away(database: Database) -> None:
    with database.session() as session:
        slides.register_slide(session, "P1", "S1")
        assert slides.register_slide(session, "P1", "S1", 80.0).blood_volume_ul == 80.0
        assert slides.register_slide(session, "P1", "S1").blood_volume_ul == 80.0


def test_another_volume_is_refused_naming_both(database: Database) -> None:
    with database.session() as session:
        slides.register_slide(session, "P1", "S1", 50.0)
        with pytest.raises(CacappError, match=r"S1 .*50 µL.*60 µL"):
            slides.register_slide(session, "P1", "S1", 60.0)


def test_a_slide_of_another_patient_is_refused_and_no_patient_is_made(database: Database) -> None:
    with database.session() as session:
        slides.register_slide(session, "P1", "S1")

    def claim() -> None:
        with database.session() as session:
            slides.register_slide(session, "P2", "S1")

    with pytest.raises(CacappError, match="S1 belongs to patient P1, not P2"):
        claim()
    with database.reading() as session:
        assert session.exec(select(Patient.code)).all() == ["P1"]


@pytest.mark.parametrize("volume", [0.0, -1.0, float("nan"), float("inf")])
def test_a_volume_that_is_no_positive_number_is_refused(database: Database, volume: float) -> None:
    with database.session() as session, pytest.raises(UsageError, match="volume"):
        slides.register_slide(session, "P1", "S1", volume)


@pytest.mark.parametrize(("patient", "barcode"), [("", "S1"), ("P1", " ")])
def test_empty_names_are_refused(database: Database, patient: str, barcode: str) -> None:
    with database.session() as session, pytest.raises(UsageError, match="empty"):
        slides.register_slide(session, patient, barcode)


def test_the_same_file_twice_is_one_frame_even_under_another_name(database: Database, make_source: Make) -> None:
    with database.session() as session:
        slide = slides.register_slide(session, "P1", "S1")
        assert slides.add_frame(session, slide, make_source()) is not None
        assert slides.add_frame(session, slide, make_source()) is None
        assert slides.add_frame(session, slide, replace(make_source(), name="copy")) is None
        assert [row.name for row in slides.frames_of(session, slide.id or 0)] == ["f1"]


def test_scenes_of_a_file_are_frames_of_their_own(database: Database, make_source: Make) -> None:
    with database.session() as session:
        slide = slides.register_slide(session, "P1", "S1")
        for scene in ("A", "B"):
            assert slides.add_frame(session, slide, replace(make_source(), name=scene, scene=scene)) is not None


def test_a_file_of_another_slide_is_refused_naming_it(database: Database, make_source: Make) -> None:
    with database.session() as session:
        slides.add_frame(session, slides.register_slide(session, "P1", "S1"), make_source())
        with pytest.raises(CacappError, match="frame f1 of slide S1"):
            slides.add_frame(session, slides.register_slide(session, "P2", "S2"), make_source())


def test_a_name_with_other_content_is_refused(database: Database, make_source: Make) -> None:
    with database.session() as session:
        slide = slides.register_slide(session, "P1", "S1")
        slides.add_frame(session, slide, make_source(content="1"))
        with pytest.raises(CacappError, match="other content"):
            slides.add_frame(session, slide, make_source(content="2"))


def test_the_same_file_from_another_reader_is_refused_and_from_a_later_version_known(database: Database, make_source: Make) -> None:
    with database.session() as session:
        slide = slides.register_slide(session, "P1", "S1")
        slides.add_frame(session, slide, make_source(reader="bioio", reader_version="cacapp-bioio 0.2.0"))
        assert slides.add_frame(session, slide, make_source(reader="bioio", reader_version="cacapp-bioio 0.3.0")) is None
        with pytest.raises(CacappError, match=r"with the reader 'bioio' of cacapp-bioio 0.2.0, and 'aicsimageio' of cacapp 0.1.0 reads it"):
            slides.add_frame(session, slide, make_source(reader="aicsimageio", reader_version="cacapp 0.1.0"))


def test_the_same_file_read_in_another_way_is_refused_not_ignored(database: Database, make_source: Make, tmp_path: Path) -> None:
    with database.session() as session:
        slide = slides.register_slide(session, "P1", "S1")
        slides.add_frame(session, slide, make_source())
        with pytest.raises(CacappError, match="projection none and now max"):
            slides.add_frame(session, slide, make_source(projection="max"))
        swapped = make_source().channels
        with pytest.raises(CacappError, match="channels"):
            slides.add_frame(session, slide, make_source(channels=(swapped[0], replace(swapped[1], found_as="Cy5"), *swapped[2:])))
