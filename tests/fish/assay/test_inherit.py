"""Assay files that inherit: what they leave out is their base's, and the text that is stored stands on its own."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacapp.exceptions import UsageError
from cacapp.fish.assay.inherit import complete_text, merged
from cacapp.fish.assay.read import builtin_assays, load_assay, load_with_bases, parse_assay

OWN = 'name = "lab"\nversion = "7"\n'
KATZ = 'base = "katz-4color"\nbase_version = "2"\n'
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str, name: str = "lab.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return written


def test_tables_merge_key_by_key_and_arrays_replace_as_a_whole(write: Write) -> None:
    own = """
[signals]
diameter_um = 0.9
[signals.bleed_through]
pairs = [{ donor = "aqua", acceptor = "green", max_share = 0.2 }]
[aliases]
red = ["Cy5"]
"""
    katz, lab = load_assay("katz-4color"), load_assay(write(OWN + KATZ + own))
    assert (lab.name, lab.version, lab.description) == ("lab", "7", "")
    assert lab.signals.diameter_um == 0.9
    assert [p.max_share for p in lab.signals.bleed_through.pairs] == [0.2]
    assert lab.signals.bleed_through.min_donor_spots == katz.signals.bleed_through.min_donor_spots
    assert (lab.signals.snr_tail, lab.signals.min_cac_margin) == (4.0, 3.0), "not the defaults of the code"
    unchanged = ("cac_classes", "probes", "nuclei", "classes", "subtypes", "patient", "quality")
    assert {name: getattr(lab, name) for name in unchanged} == {name: getattr(katz, name) for name in unchanged}


def test_the_stored_text_is_complete(write: Write) -> None:
    lab = load_assay(write(OWN + KATZ + "[signals]\ndiameter_um = 0.9\n"))
    text = lab.toml()
    assert not {"base", "base_version"} & tomllib.loads(text).keys()
    assert parse_assay(text, "run 7") == lab
    assert load_assay(write(text, "copy.toml")).sha256 == lab.sha256
    assert "katz-4color 2" in text.splitlines()[0]


def test_a_chain_of_bases_is_followed_from_file_to_file(write: Write) -> None:
    write(OWN.replace("lab", "middle") + KATZ + "[signals]\nsnr_tail = 5.0\ndiameter_um = 0.9\n", "bases/middle.toml")
    path = write(OWN + 'base = "bases/middle.toml"\nbase_version = "7"\n[signals]\ndiameter_um = 1.0\n')
    lab, bases = load_with_bases(path)
    assert (lab.signals.snr_tail, lab.signals.diameter_um, lab.signals.min_cac_margin) == (5.0, 1.0, 3.0)
    assert bases == ("middle 7", "katz-4color 2")


def test_the_patients_criterion_of_a_file_takes_the_place_of_its_bases(write: Write) -> None:
    ratio = load_assay("her2-cep17")
    assert ratio.patient.threshold_per_100ul is None
    lab = load_assay(write(OWN + 'base = "her2-cep17"\nbase_version = "2"\n[patient]\nthreshold_per_100ul = 5.0\n'))
    assert (lab.ratio, lab.patient.threshold_per_100ul) == (None, 5.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            OWN + 'base = "katz-5color"\nbase_version = "2"\n',
            "base: katz-5color: No such file or directory; give a TOML file, its path",
        ),
        (OWN + 'base = "lab.toml"\nbase_version = "7"\n', "base: {path} → {path} is a circle; leave base out of one of them"),
        (
            OWN + 'base = "katz-4color"\nbase_version = "9"\n',
            "base_version: katz-4color is version 2 here, the file is made for version 9",
        ),
        (OWN + 'base = "katz-4color"\n', "base_version: missing; inheriting takes both"),
        (OWN + 'base_version = "2"\n', "base: missing; inheriting takes both"),
        (OWN + 'base = 4\nbase_version = "2"\n', "base: write it in quotes, not as 4"),
        (OWN + 'base = "katz-4color"\nbase_version = 1\n', "base_version: write it in quotes, not as 1"),
        (OWN + 'base = "a\\u0000b"\nbase_version = "2"\n', "base: a\0b: "),
        (OWN + KATZ + "[signals]\ndiameter_um = -1.0\n", "signals.diameter_um: input should be greater than 0"),
        (OWN + KATZ + "[signals]\ndiametre_um = 1.0\n", "signals.diametre_um: unknown key; did you mean diameter_um?"),
        (OWN + KATZ + "basis = 1\n", "basis: unknown key; did you mean base?"),
        (OWN + KATZ + "signals = 3\n", "signals: input should be an object"),
        (OWN + KATZ + "patient = 3\n", "patient: input should be an object"),
        (OWN + KATZ + 'cac_classes = ["cacs"]\n', "cac_classes: no class is named 'cacs'"),
        ('version = "7"\n' + KATZ, "name: missing"),
        ('name = "lab"\n' + KATZ, "version: missing"),
    ],
)
def test_invalid_inheritance_is_refused_by_name(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(UsageError) as caught:
        load_assay(path)
    line = str(caught.value)
    assert line.startswith(f"assay {path}: {message.replace('{path}', str(path))}")
    assert "\n" not in line


def test_a_circle_over_several_files_is_named_with_all_of_them(write: Write) -> None:
    one = write(OWN + 'base = "two.toml"\nbase_version = "7"\n', "one.toml")
    two = write(OWN + 'base = "sub/../one.toml"\nbase_version = "7"\n', "two.toml")
    (one.parent / "sub").mkdir()
    with pytest.raises(UsageError, match=r"base: .*one.toml → .*two.toml → .*one.toml is a circle") as caught:
        load_assay(one)
    assert str(two) in str(caught.value)


def test_a_fault_in_a_base_names_the_base(write: Write) -> None:
    base = write(OWN + KATZ + "[nuclei]\nmin_solidity = 2.0\n", "base.toml")
    path = write(OWN + 'base = "base.toml"\nbase_version = "7"\n')
    with pytest.raises(UsageError, match=r"nuclei.min_solidity: input should be less than 1") as caught:
        load_assay(path)
    assert str(caught.value).startswith(f"assay {base}: ")


def test_a_text_without_a_file_reads_no_other_file() -> None:
    for text in (OWN + KATZ, OWN + 'base = "/etc/passwd"\n', OWN + 'base_version = "2"\n'):
        with pytest.raises(UsageError, match=r"assay of the capsule: base(_version)?: only a file can inherit; give the complete text"):
            parse_assay(text, "of the capsule")


@pytest.mark.parametrize("name", builtin_assays())
def test_the_complete_text_of_a_shipped_assay_has_its_values(name: str) -> None:
    assay = load_assay(name)
    assert parse_assay(assay.toml(), "x") == assay
    assert assay.signals.min_cac_margin > 0, "each shipped assay sends CACs with a small margin to review"
    assert assay.signals.snr_tail > 0


KEYS = st.text(min_size=1, max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=5)


@given(TABLES)
def test_any_table_is_read_back_as_it_was_written(table: dict[str, object]) -> None:
    assert tomllib.loads(complete_text(table, ["x 1"])) == table


@given(TABLES)
def test_an_empty_file_inherits_all_but_the_name(table: dict[str, object]) -> None:
    base = table | {"name": "b", "version": "1", "patient": {}}
    assert merged({"name": "a"}, base) == {k: v for k, v in base.items() if k not in ("version", "description")} | {"name": "a"}
