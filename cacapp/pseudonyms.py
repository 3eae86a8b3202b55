"""Warning for a patient's code that may identify the patient: a name, an e-mail address, a date of birth, a national number."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

_COMMON_WORDS = """
anonymous blank case cohort control demo donor example healthy id low high mid normal patient pilot positive negative pseudonym quality
reference sample series simulated site slide study subject test trial unknown
"""
COMMON_WORDS = frozenset(_COMMON_WORDS.split())

_YEAR, _MONTH, _DAY, _BETWEEN = r"(?:19|20)\d\d", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])", r"[-./]"
_DATE = re.compile(rf"(?<!\d)(?:{_YEAR}{_BETWEEN}{_MONTH}{_BETWEEN}{_DAY}|{_DAY}{_BETWEEN}{_MONTH}{_BETWEEN}{_YEAR})(?!\d)")
_MM, _DD = "(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_YYMMDD, _DDMMYY = rf"\d\d{_MM}{_DD}", rf"{_DD}{_MM}\d\d"


def _weighted(code: str, weights: Iterable[int]) -> int:
    """Return the sum of the digits times the weights, as far as the weights go; X is ten."""
    return sum((10 if digit == "X" else int(digit)) * weight for digit, weight in zip(code, weights, strict=False))


def _luhn(code: str) -> bool:
    """Check the last digit after ISO/IEC 7812-1."""
    return sum(sum(divmod(int(digit) * (1 + n % 2), 10)) for n, digit in enumerate(reversed(code))) % 10 == 0


def _verhoeff(code: str) -> bool:
    """Check the last digit after Verhoeff (1969): products in the dihedral group of order ten."""
    check, permutation = 0, (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    for place, character in enumerate(reversed(code)):
        digit = int(character)
        for _ in range(place % 8):
            digit = permutation[digit]
        turned = digit % 5 if check < 5 else -digit % 5
        check = (check + turned) % 5 + 5 * ((check < 5) == (digit >= 5))
    return check == 0


def _cpf(code: str) -> bool:
    return all(_weighted(code, range(n, 1, -1)) * 10 % 11 % 10 == int(code[n - 1]) for n in (10, 11)) and len(set(code)) > 1


def _tr(code: str) -> bool:
    tenth = (7 * _weighted(code, (1, 0) * 4 + (1,)) - _weighted(code, (0, 1) * 4)) % 10
    return code[9:] == f"{tenth}{sum(map(int, code[:10])) % 10}"


NATIONAL_IDS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "a US social security number": (r"(?!000|666|9)\d{3}(?!00)\d\d(?!0000)\d{4}", lambda c: True),
    "an NHS number": (r"\d{10}", lambda c: _weighted(c, range(10, 0, -1)) % 11 == 0),
    "a Chinese identity card number": (
        rf"\d{{6}}{_YEAR}{_MM}{_DD}\d{{3}}[\dX]",
        lambda c: _weighted(c, (2**n % 11 for n in range(17, -1, -1))) % 11 == 1,
    ),
    "an Aadhaar number": (r"[2-9]\d{11}", _verhoeff),
    "a Brazilian CPF": (r"\d{11}", _cpf),
    "a Spanish DNI": (r"\d{8}[A-Z]", lambda c: "TRWAGMYFPDXBNJZSQVHLCKE"[int(c[:8]) % 23] == c[8]),
    "a Spanish NIE": (r"[XYZ]\d{7}[A-Z]", lambda c: "TRWAGMYFPDXBNJZSQVHLCKE"[int(f"{'XYZ'.index(c[0])}{c[1:8]}") % 23] == c[8]),
    "an Italian codice fiscale": (r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]", lambda c: True),
    "a French NIR": (r"[1-478]\d{14}", lambda c: (int(c[:13]) + int(c[13:])) % 97 == 0),
    "a Swedish personnummer": (rf"(?:19|20)?{_YYMMDD}\d{{4}}", lambda c: _luhn(c[-10:])),
    "a Danish CPR number": (rf"{_DDMMYY}\d{{4}}", lambda c: True),
    "a Finnish HETU": (
        rf"{_DDMMYY}(?:[A-FU-Y]\d{{3}}[0-9A-Y]|\d{{3}}[A-Y])",
        lambda c: "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(c[:6] + c[-4:-1]) % 31] == c[-1],
    ),
    "a Norwegian fødselsnummer": (
        rf"{_DDMMYY}\d{{5}}",
        lambda c: _weighted(c, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == _weighted(c, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0,
    ),
    "a Polish PESEL": (
        rf"\d\d(?:[02468][1-9]|[13579][0-2]){_DD}\d{{5}}",
        lambda c: _weighted(c, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0,
    ),
    "a Czech or Slovak birth number": (
        rf"\d\d(?:[0257][1-9]|[1368][0-2]){_DD}\d{{3,4}}",
        lambda c: int(c[:9]) % 11 % 10 == int(c[9]) if len(c) == 10 else int(c[:2]) <= 53,  # the check digit came in 1954
    ),
    "a Dutch BSN": (r"\d{9}", lambda c: _weighted(c, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0),
    "a Belgian national number": (rf"{_YYMMDD}\d{{5}}", lambda c: any((int(n + c[:9]) + int(c[9:])) % 97 == 0 for n in ("", "2"))),
    "a Swiss AHV number": (r"756\d{10}", lambda c: _weighted(c, (1, 3) * 6 + (1,)) % 10 == 0),
    "a Korean registration number": (
        rf"{_YYMMDD}\d{{7}}",
        lambda c: (11 - _weighted(c, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10 == int(c[12]),
    ),
    "a Turkish identity number": (r"[1-9]\d{10}", _tr),
    "a South African identity number": (rf"{_YYMMDD}\d{{7}}", _luhn),
}
"""Kind of number: its form without separators, and whether its check digits hold, where it has any."""


def resembles(code: str) -> str | None:
    """Return what identifying information a code resembles, such as "a name" or "an NHS number"; None for a pseudonym.

    A name is recognised by its form: two words without a digit, or one word in the spelling of names. There is no list of names.
    """
    code = unicodedata.normalize("NFC", code.strip())
    if "@" in code:
        return "an e-mail address"
    if _DATE.search(code):
        return "a date of birth"
    plain = re.sub(r"[-+ ./:]", "", code).upper()
    for what, (form, holds) in NATIONAL_IDS.items():
        if plain.isascii() and re.fullmatch(form, plain) and holds(plain):
            return what
    if any(character.isdigit() for character in code):
        return None
    words = [word for word in re.split(r"[\W_]+", code) if word and word.casefold() not in COMMON_WORDS]
    names = [word for word in words if len(word) > 1]
    if len(names) > 1 or (names and (not names[0].isascii() or re.fullmatch(r"[A-Z][a-z]{2,}", names[0]))):
        return "a name"
    return None
