"""A code that says who the patient is draws a warning; a pseudonym draws none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cacapp.pseudonyms import NATIONAL_IDS, resembles


@pytest.mark.parametrize(
    "code",
    [
        "P1",
        "p-0017",
        "LC_2031_a",
        "S01/7",
        "healthy-donor",
        "Control",
        "patient A",
        "X",
        "AB",
        "ABCD",
        "K7Q2M",
        "0017",
        "2026-0031",
        "3f9a1c70-6f3e",
    ],
)
def test_pseudonyms_are_taken_without_a_word(code: str) -> None:
    assert resembles(code) is None


@pytest.mark.parametrize(
    "code",
    ["Anna Müller", "MÜLLER, ANNA", "smith_john", "Anna-Maria", "Schmidt", "Øyvind", "张伟", "Иван Петров", "O'Brien, Sean"],
)
def test_names_are_told(code: str) -> None:
    assert resembles(code) == "a name"


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("AM 1962-03-05", "a date of birth"),
        ("mu05.03.1962", "a date of birth"),
        ("anna@example.org", "an e-mail address"),
        ("536-90-4399", "a US social security number"),
        ("943 476 5870", "an NHS number"),
        ("360426199101010071", "a Chinese identity card number"),
        ("RCCMNL83S18D969H", "an Italian codice fiscale"),
        ("131052-308T", "a Finnish HETU"),
        ("54362315-K", "a Spanish DNI"),
        ("390.533.447-05", "a Brazilian CPF"),
        ("44051401359", "a Polish PESEL"),
    ],
)
def test_dates_of_birth_and_national_ids_are_told(code: str, what: str) -> None:
    assert resembles(code) == what


@pytest.mark.parametrize("module", NATIONAL_IDS)
def test_every_kind_of_id_is_one_the_library_knows(module: str) -> None:
    from importlib import import_module

    assert import_module(f"stdnum.{module}").is_valid("P1") is False


@pytest.mark.sqlite_only
def test_ingest_warns_once_and_goes_on(cacapp: Callable[..., Any], small_slide: Path) -> None:
    ended = cacapp("ingest", small_slide, "--patient", "Anna Müller", "--slide", "S1", "--blood-volume-ul", "100")
    assert ended.code == 0
    (line,) = ended.lines("warning")
    assert line.startswith("warning: patient 'Anna Müller' looks like a name: ")
    assert "use a pseudonym" in line
    quiet = cacapp("ingest", small_slide, "--patient", "P2", "--slide", "S2", "--blood-volume-ul", "100")
    assert quiet.lines("warning") == []
