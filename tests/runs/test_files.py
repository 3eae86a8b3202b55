"""Names of files that are made from codes: different codes never share a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacapp.runs.files import file_name, file_names


@pytest.mark.parametrize("pair", [("P/1", "P_1"), ("P 1", "P_1"), ("P.", "P"), ("é", "è"), ("P1", "p1"), ("a" * 200, "a" * 201)])
def test_two_codes_never_give_one_file(pair: tuple[str, str]) -> None:
    names = file_names(pair)
    assert len({name.lower() for name in names.values()}) == 2


def test_a_plain_code_is_its_own_name() -> None:
    assert file_name("P01-negative") == "P01-negative"
    assert file_names(["S01", "S02", "S01"]) == {"S01": "S01", "S02": "S02"}


def test_names_that_mean_something_else_are_not_taken() -> None:
    assert all(file_name(text).lower() != text.lower() for text in ("index", "CON", "nul", "com1"))


def test_the_first_of_two_similar_codes_keeps_its_name() -> None:
    assert file_names(["p1", "P1"])["p1"] == file_names(["p1"])["p1"] == "p1"


@given(st.lists(st.text(min_size=1), unique=True, max_size=30))
def test_any_texts_give_valid_different_names(texts: list[str]) -> None:
    names = file_names(texts)
    assert len({name.lower() for name in names.values()}) == len(texts)
    assert all(Path(name).name == name and len(name) < 200 and name.isascii() for name in names.values())
