"""A patient's code that identifies the patient gives a warning; a pseudonym gives none."""

from __future__ import annotations

import re
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
def test_pseudonyms_are_accepted_without_a_warning(code: str) -> None:
    assert resembles(code) is None


@pytest.mark.parametrize(
    "code",
    ["Anna Müller", "MÜLLER, ANNA", "smith_john", "Anna-Maria", "Schmidt", "Øyvind", "张伟", "Иван Петров", "O'Brien, Sean"],
)
def test_names_are_recognised(code: str) -> None:
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
def test_dates_of_birth_and_national_ids_are_recognised(code: str, what: str) -> None:
    assert resembles(code) == what


# one published example of each kind
EXAMPLES = {
    "a US social security number": "536-90-4399",
    "an NHS number": "943-476-5870",
    "a Chinese identity card number": "360426199101010071",
    "an Aadhaar number": "2341 2341 2346",
    "a Brazilian CPF": "390.533.447-05",
    "a Spanish DNI": "54362315-K",
    "a Spanish NIE": "x-2482300w",
    "an Italian codice fiscale": "RCCMNL83S18D969H",
    "a French NIR": "2 95 10 99 126 111 93",
    "a Swedish personnummer": "880320-0016",
    "a Danish CPR number": "211062-5629",
    "a Finnish HETU": "131052-308T",
    "a Norwegian fødselsnummer": "151086 95088",
    "a Polish PESEL": "44051401359",
    "a Czech or Slovak birth number": "710319/2745",
    "a Dutch BSN": "1112.22.333",
    "a Belgian national number": "85 07 30 033 28",
    "a Swiss AHV number": "756.9217.0769.85",
    "a Korean registration number": "971013-9019902",
    "a Turkish identity number": "17291716060",
    "a South African identity number": "7503305044089",
}


@pytest.mark.parametrize("what", NATIONAL_IDS)
def test_an_example_of_every_kind_of_national_number_is_recognised_and_with_another_check_digit_it_is_not(what: str) -> None:
    form, check = NATIONAL_IDS[what]
    plain = re.sub(r"\W", "", EXAMPLES[what]).upper()
    assert re.fullmatch(form, plain)
    assert check(plain)
    assert resembles(EXAMPLES[what]) in NATIONAL_IDS
    if what not in ("a US social security number", "an Italian codice fiscale", "a Danish CPR number"):  # without a check that is ours
        others = [plain[:-1] + c for c in ("0123456789" if plain[-1].isdigit() else "ABCDEFGHJKLMNPQRSTVWXYZ") if c != plain[-1]]
        assert not any(check(other) for other in others)


@pytest.mark.sqlite_only
def test_ingest_warns_once_and_continues(cacapp: Callable[..., Any], small_slide: Path) -> None:
    ended = cacapp("ingest", small_slide, "--patient", "Anna Müller", "--slide", "S1", "--blood-volume-ul", "100")
    assert ended.code == 0
    (line,) = ended.lines("warning")
    assert line.startswith("warning: patient 'Anna Müller' looks like a name: ")
    assert "use a pseudonym" in line
    quiet = cacapp("ingest", small_slide, "--patient", "P2", "--slide", "S2", "--blood-volume-ul", "100")
    assert quiet.lines("warning") == []
