"""The assay file: what ships, what it refuses, and that its exact text travels with it."""

import hashlib
import pickle
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cacapp.exceptions import UsageError
from cacapp.fish.assay.read import builtin_assays, load_assay, parse_assay

KATZ = (resources.files("cacapp.fish.assay") / "definitions" / "katz-4color.toml").read_bytes().decode()
HER2 = """
name = "two-probes"
version = "0.1"
cac_classes = ["gain"]
probes = [
  { channel = "red", locus = "HER2", copies = 2, min_snr = 6.0 },
  { channel = "green", locus = "CEP17", copies = 2, min_snr = 6.0 },
]
classes = [
  { name = "gain", when = [{ at_least = 5, min_probes = 1, probes = ["red"] }] },
  { name = "normal", when = [{ at_least = 2, at_most = 2, min_probes = 2 }] },
]
[signals]
diameter_um = 0.8
diameter_px = 6.5
rim_tolerance_diameters = 0.75
min_relative_amplitude = 0.25
debris = { same_place_in_all_channels = false }
"""
HER2 += KATZ[KATZ.index("[nuclei]") : KATZ.index("# In this order")]
HER2 += KATZ[KATZ.index("[patient]") :].replace('without_subtypes = ["balanced_polyploid"]', "")


def test_the_default_assay_is_katz_with_four_probes_in_order() -> None:
    assay = load_assay("katz-4color")
    assert [(p.channel, p.locus, p.copies) for p in assay.probes] == [
        ("aqua", "CEP10", 2),
        ("green", "3q29", 2),
        ("gold", "10q22.3", 2),
        ("red", "3p22.1", 2),
    ]
    assert assay.cac_classes == ("cac",)
    assert assay.patient.threshold_per_100ul == 3
    assert builtin_assays() == ("any-gain", "gain-or-loss", "her2-cep17", "katz-4color", "two-probe")


def test_the_text_stored_with_a_run_is_the_file_byte_for_byte(tmp_path) -> None:
    raw = KATZ.replace("\n", "\r\n").encode()
    path = tmp_path / "lab.toml"
    path.write_bytes(raw)
    assay = load_assay(path)
    assert assay.toml().encode() == raw
    assert assay.sha256 == hashlib.sha256(raw).hexdigest()
    assert parse_assay(assay.toml(), "run 7") == assay


def test_an_assay_survives_the_way_to_a_worker() -> None:
    assay = load_assay("katz-4color")
    copy = pickle.loads(pickle.dumps(assay))
    assert copy == assay
    assert copy.toml() == KATZ


def test_an_assay_changed_in_memory_has_no_text() -> None:
    changed = load_assay("katz-4color").model_copy(update={"version": "3"})
    with pytest.raises(UsageError, match="changed in memory"):
        changed.toml()


def test_an_assay_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_assay("katz-4color").version = "2"


def test_any_number_of_probes_is_supported() -> None:
    assert parse_assay(HER2, "her2.toml").channels == ("red", "green")


REFUSED = [
    ('channel = "green"', 'channel = "violet"', "probes #2 channel: unknown channel 'violet'; there are aqua, green, gold, red"),
    ('channel = "green"', 'channel = "aqua"', "probes: channel 'aqua' is used twice"),
    ('locus = "3q29"', 'locus = "CEP10"', "probes: locus 'CEP10' is used twice"),
    ("min_snr = 8.0", "min_snr = 0", "probes #1 min_snr: input should be greater than 0"),
    ("min_snr = 8.0", "min_snr = -1.5", "probes #1 min_snr: input should be greater than 0"),
    ("min_snr = 8.0", "min_snr = nan", "probes #1 min_snr: input should be a finite number"),
    ("min_snr = 8.0", 'min_snr = "8"', "probes #1 min_snr: input should be a valid number"),
    ("min_snr = 8.0", "minimum_snr = 8.0", "probes #1 minimum_snr: unknown key; did you mean min_snr?"),
    ("min_snr = 8.0", "", "probes #1 min_snr: missing"),
    ("diameter_um = 0.8", "diametr_um = 0.8", "signals.diametr_um: unknown key; did you mean diameter_um?"),
    ("at_least = 3, min_probes = 2", "at_lest = 3, min_probes = 2", "classes #1 when #1 at_lest: unknown key; did you mean at_least?"),
    ("[patient]", "[patients]", "patients: unknown key; did you mean patient?"),
    ("copies = 2", "copies = 0", "probes #1 copies: input should be greater than or equal to 1"),
    ("diameter_um = 0.8", "diameter_um = 0.0", "signals.diameter_um: input should be greater than 0"),
    (
        "rim_tolerance_diameters = 0.75",
        "rim_tolerance_diameters = -1.0",
        "signals.rim_tolerance_diameters: input should be greater than or equal to 0",
    ),
    ("[signals]", '[aliases]\nblue = ["x"]\n[signals]', "aliases.blue: no channel of this assay; it has DAPI, aqua, green, gold, red"),
    ("[signals]", '[aliases]\nred = ["Cy5"]\ngold = ["cy5"]\n[signals]', "aliases: 'cy5' is listed twice"),
    ("[signals.debris]", "[signals.dust]", "signals.dust: unknown key; there are diameter_um, diameter_px, rim_tolerance_diameters, "),
    ('donor = "aqua"', 'donor = "blue"', "signals.bleed_through.pairs #1 donor: no probe of this assay has channel 'blue'"),
    ('donor = "aqua"', 'donor = "green"', "signals.bleed_through.pairs #1: green cannot bleed into itself"),
    ('donor = "red", acceptor = "gold"', 'donor = "gold", acceptor = "red"', "signals.bleed_through.pairs: gold into red is listed twice"),
    ("max_share = 0.15", "max_share = 1.5", "signals.bleed_through.pairs #1 max_share: input should be less than 1"),
    ("min_area_um2 = 12.0", "min_area_um2 = 300.0", "nuclei.min_area_um2: 300 is not below max_area_um2 = 250"),
    ("min_area_um2 = 12.0", "min_area_um2 = -1.0", "nuclei.min_area_um2: input should be greater than 0"),
    ("min_area_medians = 3.0", "min_area_medians = 0.9", "nuclei.aggregates #5 min_area_medians: 0.9 alone would exclude ordinary nuclei"),
    ("min_solidity = 0.88", "min_solidity = 0.95", "nuclei.single_solidity: 0.93 is below min_solidity = 0.95"),
    ('name = "gain"', 'name = "cac"', "classes: class 'cac' is defined twice"),
    ('name = "gain"', 'name = "other"', "classes #2 name: 'other' is the name for what no class matches"),
    (
        "at_least = 3, min_probes = 2",
        "at_least = 0, min_probes = 1",
        "classes #2 when: class 'gain' can never match: cac before it always does",
    ),
    ("min_probes = 1, max_probes = 1", "min_probes = 2", "classes #2 when: class 'gain' can never match: cac before it always does"),
    (
        "{ at_least = 3, max_probes = 0 }",
        "{ at_least = 0, max_probes = 0 }",
        "classes #3 when: class 'loss' can never match: its conditions",
    ),
    ("at_least = 2, at_most = 2", "at_least = 3, at_most = 2", "classes #4 when #1 at_least: 3 is above at_most = 2"),
    ("min_probes = 4", "min_probes = 5", "classes #4 when #1 min_probes: 5 is more than the 4 probes there are"),
    ("min_probes = 1, max_probes = 1", "min_probes = 2, max_probes = 1", "classes #2 when #1 min_probes: 2 is above max_probes = 1"),
    (
        "min_probes = 1, max_probes = 1",
        "probes = ['blue'], min_probes = 1",
        "classes #2 when #1 probes: no probe of this assay has channel 'blue'",
    ),
    ("at_least = 3, min_probes = 2", "min_probes = 2", "classes #1 when #1 at_least: give at_least or at_most"),
    ("at_least = 3, min_probes = 2", "at_least = 3", "classes #1 when #1 min_probes: give min_probes or max_probes"),
    (
        "at_least = 3, min_probes = 2",
        "at_least = -3, min_probes = 2",
        "classes #1 when #1 at_least: input should be greater than or equal to 0",
    ),
    ('cac_classes = ["cac"]', 'cac_classes = ["cacs"]', "cac_classes: no class is named 'cacs'; there are cac, gain, loss, normal"),
    ('classes = ["cac"]\nequal', 'classes = ["loss"]\nequal', "subtypes #1: subtype 'balanced_polyploid' can never match"),
    ('without_subtypes = ["bal', 'without_subtypes = ["bad', "patient.without_subtypes: no subtype is named 'badanced_polyploid'"),
    ("threshold_per_100ul = 3.0", "threshold_per_100ul = 0.0", "patient.threshold_per_100ul: input should be greater than 0"),
    ("min_evaluable_cells = 500", "min_evaluable_cells = 0", "patient.min_evaluable_cells: input should be greater than or equal to 1"),
    ("confidence = 0.95", "confidence = 95", "patient.confidence: input should be less than 1"),
    ('"increased risk (Katz)"', '"Diagnosis: cancer"', "patient.verdicts.increased: 'Diagnosis: cancer' reads as a diagnosis"),
    (
        "threshold_per_100ul = 3.0",
        "",
        "patient.threshold_per_100ul: missing; a ratio assay gives [ratio] instead",
    ),
    (
        'cac_classes = ["cac"]',
        'cac_classes = ["cac", "normal"]',
        "cac_classes: a normal nucleus (2,2,2,2) would be 'normal', which is one of them",
    ),
    ("max_signals = 20", "max_signals = 2", "nuclei.max_signals: input should be greater than or equal to 3"),
    ("max_saturated_share = 0.05", "max_saturated_share = 0", "nuclei.max_saturated_share: input should be greater than 0"),
    ("min_snr = { warn = 1.5", "min_snr = { warn = 1.0", "quality.min_snr fail: 1.05 is above warn = 1"),
    ("max_saturated = { warn = 0.01", "max_saturated = { warn = 0.1", "quality.max_saturated fail: 0.05 is below warn = 0.1"),
    (
        "min_hybridised = { warn = 0.9",
        "min_hybridised = { warn = -0.9",
        "quality.min_hybridised.warn: input should be greater than or equal",
    ),
    ('"undetermined"', '"insufficient"', "patient.verdicts: 'insufficient' stands for two verdicts"),
    ("[patient]", "[patient", "not valid TOML"),
    ('version = "2"', "version = 2024-01-01T00:00:00", None),
]


@pytest.mark.parametrize(("old", "new", "message"), REFUSED)
def test_a_contradiction_is_one_line_with_file_and_key(tmp_path, old: str, new: str, message: str | None) -> None:
    assert old in KATZ, "the test no longer fits the file"
    path = tmp_path / "lab.toml"
    path.write_text(KATZ.replace(old, new, 1))
    if message is None:
        assert load_assay(path).version == "2024-01-01 00:00:00"
        return
    with pytest.raises(UsageError) as caught:
        load_assay(path)
    line = str(caught.value)
    assert line.startswith(f"assay {path}: {message}")
    assert "\n" not in line


def test_same_place_debris_needs_three_probes() -> None:
    with pytest.raises(UsageError, match=r"assay x: signals\.debris\.same_place_in_all_channels: needs three probes"):
        parse_assay(HER2.replace("same_place_in_all_channels = false", "same_place_in_all_channels = true"), "x")


def test_a_missing_file_names_the_built_in_assays(tmp_path) -> None:
    with pytest.raises(
        UsageError, match=r"nowhere\.toml: No such file or directory; give a TOML file or one of: any-gain, gain-or-loss, her2"
    ):
        load_assay(tmp_path / "nowhere.toml")
    with pytest.raises(UsageError, match="Is a directory"):
        load_assay(tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path) -> None:
    (tmp_path / "a.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(UsageError, match="not UTF-8"):
        load_assay(tmp_path / "a.toml")


@given(st.text(max_size=60))
def test_any_text_is_an_assay_or_one_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_assay(text, "x")
    assert len(str(caught.value).splitlines()) == 1
