"""Does a patient's code look like something that says who the patient is?"""

from __future__ import annotations

import re
import unicodedata

COMMON_WORDS = frozenset(
    [
        "anonymous",
        "blank",
        "case",
        "cohort",
        "control",
        "demo",
        "donor",
        "example",
        "healthy",
        "id",
        "low",
        "high",
        "mid",
        "normal",
        "patient",
        "pilot",
        "positive",
        "negative",
        "pseudonym",
        "quality",
        "reference",
        "sample",
        "series",
        "simulated",
        "site",
        "slide",
        "study",
        "subject",
        "test",
        "trial",
        "unknown",
    ]
)
NATIONAL_IDS = {
    "us.ssn": "a US social security number",
    "gb.nhs": "an NHS number",
    "cn.ric": "a Chinese identity card number",
    "in_.aadhaar": "an Aadhaar number",
    "br.cpf": "a Brazilian CPF",
    "es.dni": "a Spanish DNI",
    "es.nie": "a Spanish NIE",
    "it.codicefiscale": "an Italian codice fiscale",
    "fr.nir": "a French NIR",
    "se.personnummer": "a Swedish personnummer",
    "dk.cpr": "a Danish CPR number",
    "fi.hetu": "a Finnish HETU",
    "no.fodselsnummer": "a Norwegian fødselsnummer",
    "pl.pesel": "a Polish PESEL",
    "cz.rc": "a Czech or Slovak birth number",
    "nl.bsn": "a Dutch BSN",
    "be.nn": "a Belgian national number",
    "ch.ssn": "a Swiss AHV number",
    "kr.rrn": "a Korean registration number",
    "tr.tckimlik": "a Turkish identity number",
    "za.idnr": "a South African identity number",
}
"""Module of python-stdnum: what it is. Each is told by its form and, where it has one, its check digits."""

_YEAR, _MONTH, _DAY, _BETWEEN = r"(?:19|20)\d\d", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])", r"[-./]"
_DATE = re.compile(rf"(?<!\d)(?:{_YEAR}{_BETWEEN}{_MONTH}{_BETWEEN}{_DAY}|{_DAY}{_BETWEEN}{_MONTH}{_BETWEEN}{_YEAR})(?!\d)")
_SHORTEST_ID = 8


def resembles(code: str) -> str | None:
    """What of a person a code resembles, such as "a name" or "an NHS number"; None where it looks like a pseudonym.

    A name is told by its form: two words without a digit, or one word written as names are. No list of names is kept.
    """
    code = unicodedata.normalize("NFC", code.strip())
    if "@" in code:
        return "an e-mail address"
    if _DATE.search(code):
        return "a date of birth"
    found = _national_id(code)
    if found is not None:
        return found
    if any(character.isdigit() for character in code):
        return None
    words = [word for word in re.split(r"[\W_]+", code) if word and word.casefold() not in COMMON_WORDS]
    names = [word for word in words if len(word) > 1]
    if len(names) > 1 or (names and (not names[0].isascii() or re.fullmatch(r"[A-Z][a-z]{2,}", names[0]))):
        return "a name"
    return None


def _national_id(code: str) -> str | None:
    from importlib import import_module

    if sum(character.isalnum() for character in code) < _SHORTEST_ID:
        return None
    for module, what in NATIONAL_IDS.items():
        if import_module(f"stdnum.{module}").is_valid(code):
            return what
    return None
