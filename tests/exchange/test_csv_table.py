"""Tables as spreadsheets save them: each gives the same rows; what cannot be told apart is named."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cacapp.exceptions import UsageError
from cacapp.exchange.csv_table import number, read_table

COLUMNS = ("patient", "slide", "path", "blood_volume_ul")
ROWS = [{"patient": "P1", "slide": "S1", "path": "in 1", "blood_volume_ul": "7,5"}]


@pytest.mark.parametrize(
    "content",
    [
        b'patient,slide,path,blood_volume_ul\nP1,S1,in 1,"7,5"\n',
        "patient;slide;path;blood_volume_ul\r\nP1;S1;in 1;7,5\r\n".encode("utf-8-sig"),
        "patient\tslide\tpath\tblood_volume_ul\r\nP1\tS1\tin 1\t7,5\r\n".encode("utf-16"),
        "\ufeffPatient;SLIDE;Path;Blood volume (µL)\r\n P1 ; S1;in 1 ;7,5\r\n".encode("utf-16-be"),
        b"sep=;\r\npatient;slide;path;blood_volume_ul\r\nP1;S1;in 1;7,5\r\n",
        b'\r\n;;;;\r\n"patient";"slide";"path";"blood_volume_ul";;\r\n;;;;;\r\n"P1";"S1";in 1;7,5;;\r\n;;;\r\n',
        b"patient;slide;;path;blood_volume_ul\r\nP1;S1;;in 1;7,5\r\n",
    ],
    ids=["commas", "semicolons", "tabs-utf16", "other-case-utf16-be", "sep-line", "empty-rows-and-columns", "empty-column-inside"],
)
def test_the_same_table_is_read_from_whatever_a_spreadsheet_saves(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    columns, rows = read_table(path, "manifest", COLUMNS)
    assert columns == list(COLUMNS)
    assert [dict(row.values) for row in rows] == ROWS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"patient,slide,path,blood_volume_ul\nP1,S1,in,7,5\n", "line 2: more values than columns; a decimal comma needs semicolons"),
        (b"patient,slide,,path\nP1,S1,left,in\n", "line 2: 'left' is in a column without a name"),
        (b"patient,slide,path,Patient\nP1,S1,in,P2\n", "column patient is there twice"),
        (b"patient,slid,path\nP1,S1,in\n", "unknown column 'slid'; did you mean 'slide'?"),
        ("patient,slide\nJörg,S1\n".encode("latin-1"), "not UTF-8 or UTF-16 text, as a CSV file is; in Excel, save it as 'CSV UTF-8'"),
        (b'patient,slide\n"P1,S1\n', "no CSV table"),
        (b"\xff\xfep\x00a", "not UTF-8 or UTF-16 text"),
    ],
)
def test_a_table_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        read_table(path, "manifest", COLUMNS)
    assert str(error.value).startswith(f"manifest {path}")
    assert message in str(error.value)


def test_decimal_commas_are_numbers_and_thousands_are_asked_about() -> None:
    assert [number(t) for t in ("7.5", "7,5", " 1e3", "-0,125", "0,250", "1234,567")] == [7.5, 7.5, 1000, -0.125, 0.25, 1234.567]
    assert all(math.isnan(number(t)) for t in ("", "x", "1.500,5", "1,2,3", "inf", "nan", "1_000"))
    with pytest.raises(UsageError, match=r"'1,500' may be 1\.500 or 1500"):
        number("1,500")
