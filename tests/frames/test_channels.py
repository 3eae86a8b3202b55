"""Channel names are resolved by alias or by the user's word, never by a position nobody wrote."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacapp.exceptions import CacappError, UsageError
from cacapp.frames import DEFAULT_ALIASES, parse_channels, resolve_channels
from cacapp.types import CHANNELS


@st.composite
def files(draw: st.DrawFn) -> list[tuple[str, str]]:
    """(canonical, name found) in any order, with any alias in any case and punctuation."""
    rows = []
    for name in CHANNELS:
        alias = draw(st.sampled_from((name, *DEFAULT_ALIASES[name])))
        alias = draw(st.sampled_from((str.upper, str.lower, str.title, str)))(alias)
        rows.append((name, draw(st.sampled_from((alias, f" {alias} ", alias.replace(" ", "-"), "_".join(alias))))))
    return draw(st.permutations(rows))


@settings(deadline=None)
@given(files())
def test_any_order_and_any_alias_give_each_channel_its_own_plane(rows: list[tuple[str, str]]) -> None:
    indices = resolve_channels([found for _, found in rows], CHANNELS)
    assert {name: rows[i][0] for name, i in indices.items()} == {name: name for name in CHANNELS}
    assert list(indices) == list(CHANNELS)


@settings(deadline=None)
@given(st.permutations(range(5)))
def test_positions_the_user_writes_are_taken_as_written(order: list[int]) -> None:
    mapping = {name: f"#{i}" for name, i in zip(CHANNELS, order, strict=True)}
    assert resolve_channels([""] * 5, CHANNELS, mapping) == dict(zip(CHANNELS, order, strict=True))


@settings(deadline=None)
@given(files(), st.data())
def test_leaving_out_any_channel_is_refused_by_its_name(rows: list[tuple[str, str]], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(CHANNELS))
    with pytest.raises(CacappError, match=rf"no channel for {gone}\b.*--channels {gone}="):
        resolve_channels([found for name, found in rows if name != gone], CHANNELS)


def test_an_alias_belongs_to_one_channel_only() -> None:
    seen: dict[str, str] = {}
    for name, aliases in DEFAULT_ALIASES.items():
        for alias in aliases:
            key = "".join(c for c in alias.casefold() if c.isalnum())
            assert seen.setdefault(key, name) == name


def test_two_channels_that_resolve_to_dapi_are_refused_and_a_flag_settles_it() -> None:
    found = ["DAPI", "Hoechst", "aqua", "green", "gold", "red"]
    with pytest.raises(CacappError, match=r"DAPI \(#0\) and Hoechst \(#1\) are both DAPI; found .*--channels DAPI=#0"):
        resolve_channels(found, CHANNELS)
    assert resolve_channels(found, CHANNELS, {"DAPI": "Hoechst"})["DAPI"] == 1


def test_a_name_given_twice_needs_a_position() -> None:
    found = ["DAPI", "DAPI", "aqua", "green", "gold", "red"]
    with pytest.raises(CacappError, match="2 channels have that name"):
        resolve_channels(found, CHANNELS, {"DAPI": "DAPI"})
    assert resolve_channels(found, CHANNELS, {"DAPI": "#1"})["DAPI"] == 1


def test_an_extra_channel_is_refused_by_its_name_and_the_flag_in_the_message_settles_it() -> None:
    found = ["red", "DAPI", "aqua", "green", "Brightfield", "gold"]
    with pytest.raises(CacappError, match="extra channel Brightfield") as refused:
        resolve_channels(found, CHANNELS)
    mapping = parse_channels(str(refused.value).rsplit("--channels ", 1)[1])
    assert resolve_channels(found, CHANNELS, mapping) == {"DAPI": 1, "aqua": 2, "green": 3, "gold": 5, "red": 0}


@pytest.mark.parametrize("names", [[f"Channel:0:{i}" for i in range(5)], [""] * 5, ["?"] * 5])
def test_unnamed_channels_are_refused_and_positions_settle_it(names: list[str]) -> None:
    with pytest.raises(CacappError, match="5 channels have no names") as refused:
        resolve_channels(names, CHANNELS)
    mapping = parse_channels(str(refused.value).rsplit("--channels ", 1)[1])
    assert resolve_channels(names, CHANNELS, mapping) == {name: i for i, name in enumerate(CHANNELS)}


def test_cy3_is_gold_unless_the_lab_says_otherwise_and_cy5_is_never_guessed() -> None:
    found = ["DAPI", "DEAC", "FITC", "Cy3", "Cy5"]
    with pytest.raises(CacappError, match=r"no channel for red .*--channels red=Cy5"):
        resolve_channels(found, CHANNELS)
    assert resolve_channels(found, CHANNELS, {"red": "Cy5"}) == {n: i for i, n in enumerate(CHANNELS)}
    own = {**DEFAULT_ALIASES, "red": ("Cy3",), "gold": ("Cy5",)}
    assert resolve_channels(found, CHANNELS, aliases=own)["red"] == 3


def test_a_name_that_two_channels_claim_is_refused() -> None:
    with pytest.raises(CacappError, match="Cy3 could be gold or red"):
        resolve_channels(["DAPI", "aqua", "green", "Cy3", "red"], CHANNELS, aliases={"gold": ("Cy3",), "red": ("Cy3",)})


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"DAPI": "Hoechst"}, "no channel has that name; found DAPI, aqua"),
        ({"DAPI": "#9"}, r"only 5 channels \(#0 to #4\)"),
        ({"DAPI": "#0", "aqua": "DAPI"}, "gives DAPI and aqua the same channel"),
    ],
)
def test_a_mapping_that_does_not_fit_the_file_is_refused(mapping: dict[str, str], message: str) -> None:
    with pytest.raises(CacappError, match=message):
        resolve_channels(list(CHANNELS), CHANNELS, mapping)


def test_a_mapping_for_a_channel_the_assay_lacks_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="'pink' is no channel of the assay"):
        resolve_channels(list(CHANNELS), CHANNELS, {"pink": "red"})


def test_channels_flag_is_parsed_and_its_names_may_be_in_any_case() -> None:
    assert parse_channels(" dapi = Hoechst 33342, aqua=#1,") == {"dapi": "Hoechst 33342", "aqua": "#1"}
    assert resolve_channels(["a", "aqua", "green", "gold", "red"], CHANNELS, {"dapi": "a"})["DAPI"] == 0


@pytest.mark.parametrize("text", ["DAPI", "DAPI=", "=x", "DAPI=a,DAPI=b"])
def test_a_malformed_channels_flag_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--channels"):
        parse_channels(text)
