"""Slide quality: what fails, what is worth a look, and channels whose names were exchanged."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from cacapp.fish.assay.quality import Quality
from cacapp.fish.assay.read import load_assay
from cacapp.fish.quality.slide import ChannelMeasures, Mark, failed_channels, judge_channels, judge_slide, looks_like_dapi, pooled, swapped

KATZ = load_assay("katz-4color")
CHANNELS = list(KATZ.channels)
PAIRS = [(p.donor, p.acceptor) for p in KATZ.signals.bleed_through.pairs]
TALK = {("aqua", "green"): 0.05, ("green", "gold"): 0.06, ("gold", "red"): 0.07, ("red", "gold"): 0.04}
GOOD = ChannelMeasures(0.66, 0.02, 0.0, 1.0, 16, 0.09, snr=5.0, signals=98, nuclei=100)
SLIDE = {"DAPI": replace(GOOD, sharpness=9.0, fill=0.65, snr=float("nan"), signals=0), **dict.fromkeys(CHANNELS, GOOD)}


def bad(marks: list[Mark]) -> dict[tuple[str, str], str]:
    return {(m.channel, m.measure): m.verdict for m in marks if m.verdict != "pass"}


def judge(**changes: ChannelMeasures) -> list[Mark]:
    return judge_slide({**SLIDE, **changes}, Quality(), evaluable_share=0.8, crosstalk=TALK, expected=PAIRS)


def test_a_good_slide_passes_in_everything() -> None:
    assert bad(judge()) == {}


@pytest.mark.parametrize(
    ("change", "measure", "verdict"),
    [
        ({"saturated": 0.02}, "saturated", "warn"),
        ({"saturated": 0.2}, "saturated", "fail"),
        ({"sharpness": 0.32}, "sharpness", "warn"),
        ({"sharpness": 0.17}, "sharpness", "fail"),
        ({"background": 0.3}, "background", "warn"),
        ({"background": 0.7}, "background", "fail"),
        ({"snr": 1.2}, "snr", "warn"),
        ({"snr": 1.01}, "snr", "fail"),
        ({"signals": 80}, "hybridised", "warn"),
        ({"signals": 0}, "hybridised", "fail"),
        ({"blockiness": 1.7}, "blockiness", "warn"),
        ({"bits": 8}, "bits", "warn"),
        ({"full": 0.3}, "full", "warn"),
        ({"full": 1.0}, "full", "fail"),
        ({"flatness": 0.5}, "flatness", "fail"),
        ({"width": 0.05}, "width", "fail"),
        ({"inverted": 8.0}, "inverted", "fail"),
        ({"clipped": 0.9}, "clipped", "warn"),
        ({"clipped": 0.99}, "clipped", "fail"),
        ({"gap": 40.0}, "gap", "fail"),
        ({"steps": 3.0}, "steps", "fail"),
        ({"wrapped": 0.1}, "wrapped", "fail"),
        ({"correlation": 0.7}, "correlation", "warn"),
        ({"spikes": 400.0}, "spikes", "warn"),
    ],
)
def test_one_bad_channel_is_named_with_what_is_wrong(change: dict[str, float], measure: str, verdict: str) -> None:
    marks = judge(red=replace(GOOD, **change))
    assert bad(marks) == {("red", measure): verdict}
    assert failed_channels(marks) == (["red"] if verdict == "fail" else [])
    reason = next(m.reason for m in marks if m.verdict != "pass")
    assert reason is not None
    assert measure in reason


def test_an_empty_channel_is_called_empty() -> None:
    reasons = [m.reason for m in judge(gold=replace(GOOD, signals=0, snr=float("nan"))) if m.reason]
    assert len(reasons) == 1
    assert reasons[0].startswith("empty: no signal in any nucleus")


def test_on_few_nuclei_nothing_fails() -> None:
    few = replace(GOOD, nuclei=9, signals=0, saturated=0.5)
    assert set(bad(judge_channels({"red": few}, Quality())).values()) == {"warn"}
    assert failed_channels(judge_channels({"red": replace(few, nuclei=10)}, Quality())) == ["red"]


def test_dapi_has_a_limit_of_its_own() -> None:
    assert bad(judge(DAPI=replace(SLIDE["DAPI"], sharpness=1.5))) == {("DAPI", "sharpness"): "warn"}


def test_a_slide_with_few_evaluable_nuclei_is_worth_a_look() -> None:
    marks = judge_slide(SLIDE, Quality(), evaluable_share=0.3, crosstalk=TALK, expected=PAIRS)
    assert bad(marks) == {("", "evaluable"): "warn"}


def test_a_counterstain_under_a_probes_name_fails() -> None:
    marks = judge(DAPI=replace(SLIDE["DAPI"], fill=0.1), green=replace(GOOD, fill=0.65))
    assert bad(marks) == {("DAPI", "order"): "fail"}
    assert looks_like_dapi(SLIDE) is None


@pytest.mark.parametrize("order", [o for o in permutations(CHANNELS) if list(o) != CHANNELS])
def test_every_exchange_of_probe_channels_is_found_and_named(order: tuple[str, ...]) -> None:
    dye_of = dict(zip(CHANNELS, order, strict=True))  # the channel named so shows this dye
    name_of = {dye: name for name, dye in dye_of.items()}
    seen = {(name_of[d], name_of[a]): share for (d, a), share in TALK.items()}
    assert swapped(seen, PAIRS, CHANNELS) == {name: dye for name, dye in dye_of.items() if name != dye}


def test_channels_in_order_or_without_crosstalk_are_not_called_swapped() -> None:
    assert swapped(TALK, PAIRS, CHANNELS) is None
    assert swapped({}, PAIRS, CHANNELS) is None
    assert swapped({("aqua", "red"): 0.01, **TALK}, PAIRS, CHANNELS) is None
    assert swapped({("red", "green"): 0.05}, [], ["red", "green"]) is None


def test_frames_are_pooled_by_their_median_and_nuclei_add_up() -> None:
    frames = [replace(GOOD, sharpness=s, nuclei=n, signals=n - 1) for s, n in ((0.2, 10), (0.6, 20), (float("nan"), 5), (0.7, 30))]
    all_frames = pooled(frames)
    assert (all_frames.sharpness, all_frames.nuclei, all_frames.signals) == (0.6, 65, 61)


def test_measures_survive_json() -> None:
    one = replace(GOOD, snr=float("nan"))
    assert ChannelMeasures.of_record(one.record()).record() == one.record()
    assert one.record()["snr"] is None
