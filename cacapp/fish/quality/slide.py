"""Quality of a slide: verdicts on each channel's measures by the assay's limits, and channels that look swapped.

Measures of a channel: ``sharpness`` of its dots (of DAPI: of the nuclei's outline), ``background`` as a share of the camera's range,
``snr`` of the counted dots as a multiple of the probe's minimum, ``hybridised`` share of nuclei with a signal, ``saturated`` share of the
nuclei's pixels, ``full`` share of nuclei with a saturated pixel, ``bits`` and ``blockiness`` of the file, and what other programs leave:
``wrapped``, ``correlation``, ``steps``, ``clipped``, ``gap``, ``flatness``, ``width``, ``inverted``, ``spikes`` (docs/assays.md describes
them). Of the slide as a whole: ``evaluable`` share, and ``order`` of the channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import isfinite
from typing import Literal, cast

import numpy as np

from cacapp.fish.assay.quality import Limit, Quality
from cacapp.types import DAPI

Grade = Literal["pass", "warn", "fail"]
WHOLE_SLIDE = ""
FAILED_QC = "failed_qc_"
"""Exclusion reason of cells whose channel failed, without the channel, which follows."""

WRAPPED = "a subtraction went below zero and wrapped to the largest values; export what the camera gave"
PROCESSED = "neighbouring pixels have the same noise: smoothed, enlarged, deconvolved or compressed"
CLIPPED = "pixels of nuclei clipped at the lowest value; subtract less background"
THRESHOLDED = "pixels below a threshold were set to the lowest value; export what the camera gave"
NARROW = "dots narrower than an objective draws them: deconvolved, or spikes"
UNEXPECTED_SHARE = 0.02
"""Cross-talk between dyes that are no neighbours from which the channels may be swapped."""


@dataclass(frozen=True, slots=True)
class ChannelMeasures:
    """Measures of one channel, of a frame or over a slide's frames; NaN where unknown (see the module).

    ``fill``: evenness of the light over a nucleus, near 1 for a counterstain. ``signals``: nuclei with a signal, of ``nuclei`` measured.
    """

    sharpness: float
    background: float
    saturated: float
    blockiness: float
    bits: float
    fill: float
    full: float = float("nan")
    snr: float = float("nan")
    step: float = float("nan")
    steps: float = float("nan")
    clipped: float = float("nan")
    gap: float = float("nan")
    wrapped: float = float("nan")
    correlation: float = float("nan")
    width: float = float("nan")
    flatness: float = float("nan")
    inverted: float = float("nan")
    spikes: float = float("nan")
    signals: int = 0
    nuclei: int = 0

    def record(self) -> dict[str, float | None]:
        """Return the measures for JSON, which has no NaN."""
        return {k: None if not isfinite(v) else round(v, 5) for k in self.__dataclass_fields__ if (v := getattr(self, k)) is not None}

    @classmethod
    def of_record(cls, record: Mapping[str, float | None]) -> ChannelMeasures:
        values = {k: float("nan") if record.get(k) is None else record[k] for k in cls.__dataclass_fields__}
        counts = {k: int(cast(float, record.get(k) or 0)) for k in ("signals", "nuclei")}
        return cls(**{**values, **counts})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Mark:
    """A measure of a channel with its verdict; ``reason``: what is wrong in words, None for a pass."""

    channel: str
    measure: str
    value: float | None
    verdict: Grade
    reason: str | None = None


def pooled(frames: Sequence[ChannelMeasures]) -> ChannelMeasures:
    """Return the measures of a channel over a slide: medians over the frames, sums of nuclei."""

    def middle(name: str) -> float:
        values = [v for f in frames if isfinite(v := getattr(f, name))]
        return float(np.median(values)) if values else float("nan")

    counts = ("signals", "nuclei")
    names = [n for n in ChannelMeasures.__dataclass_fields__ if n not in counts]
    return ChannelMeasures(**{n: middle(n) for n in names}, signals=sum(f.signals for f in frames), nuclei=sum(f.nuclei for f in frames))


def judge_channels(measures: Mapping[str, ChannelMeasures], limits: Quality) -> list[Mark]:
    """Judge every channel, DAPI among them, of a frame or a slide."""
    marks = []
    for channel, m in measures.items():
        few = m.nuclei < limits.min_nuclei
        sharp = limits.min_dapi_sharpness if channel == DAPI else limits.min_sharpness
        found = [
            _mark(channel, "sharpness", m.sharpness, sharp, True, few, "out of focus"),
            _mark(channel, "background", m.background, limits.max_background, False, few, "bright background"),
            _mark(channel, "saturated", m.saturated, limits.max_saturated, False, few, "saturated"),
            _mark(channel, "blockiness", m.blockiness, limits.max_blockiness, False, few, "blocks of a JPEG; export without loss"),
            _mark(channel, "bits", m.bits, limits.min_bits, True, few, "8 bits a pixel or fewer; export what the camera gave"),
            _mark(channel, "wrapped", m.wrapped, limits.max_wrapped, False, few, WRAPPED),
            _mark(channel, "correlation", m.correlation, limits.max_correlation, False, few, PROCESSED),
        ]
        if channel != DAPI:
            share = m.signals / m.nuclei if m.nuclei else float("nan")
            words = "empty: no signal in any nucleus" if m.nuclei and not m.signals else "few nuclei have a signal"
            found.append(_mark(channel, "full", m.full, limits.max_full, False, few, "dots as bright as the camera can tell"))
            found.append(_mark(channel, "hybridised", share, limits.min_hybridised, True, few, words))
            found.append(_mark(channel, "snr", m.snr, limits.min_snr, True, few, "dots hardly above the noise"))
            found.append(_mark(channel, "steps", m.steps, limits.min_steps, True, few, "dots only a few grey values high"))
            found.append(_mark(channel, "clipped", m.clipped, limits.max_clipped, False, few, CLIPPED))
            found.append(_mark(channel, "gap", m.gap, limits.max_gap, False, few, THRESHOLDED))
            found.append(_mark(channel, "flatness", m.flatness, limits.max_flatness, False, few, "dots have flat tops: they are cut off"))
            found.append(_mark(channel, "width", m.width, limits.min_width_um, True, few, NARROW))
            found.append(_mark(channel, "inverted", m.inverted, limits.max_inverted, False, few, "dark dots on bright nuclei: inverted?"))
            found.append(_mark(channel, "spikes", m.spikes, limits.max_spikes, False, few, "pixels brighter than the optics can draw"))
        marks += found
    return marks


def judge_slide(
    measures: Mapping[str, ChannelMeasures],
    limits: Quality,
    *,
    evaluable_share: float,
    crosstalk: Mapping[tuple[str, str], float],
    expected: Sequence[tuple[str, str]],
) -> list[Mark]:
    """Judge the channels and the slide as a whole.

    Args:
        measures: over the slide's frames, DAPI and the probes.
        evaluable_share: of all nuclei, before any was excluded for a channel.
        crosstalk: share by (donor, acceptor) as measured, of all pairs of probes.
        expected: pairs of neighbouring dyes.
    """
    marks = judge_channels(measures, limits)
    few = max((m.nuclei for m in measures.values()), default=0) < limits.min_nuclei
    marks.append(_mark(WHOLE_SLIDE, "evaluable", evaluable_share, limits.min_evaluable, True, few, "few nuclei are evaluable"))
    if (brighter := looks_like_dapi(measures)) is not None:
        fill = measures[brighter].fill
        marks.append(Mark(DAPI, "order", fill, "fail", f"swapped? {brighter} shows whole nuclei, DAPI does not; check --channels"))
    if (swap := swapped(crosstalk, expected, [c for c in measures if c != DAPI])) is not None:
        named = ", ".join(f"{a} for {b}" for a, b in swap.items())
        reason = f"swapped? the dyes' cross-talk fits {named}; check --channels"
        marks.append(Mark(WHOLE_SLIDE, "order", max(crosstalk.values()), "warn", reason))
    elif not any(m.measure == "order" for m in marks):
        marks.append(Mark(WHOLE_SLIDE, "order", None, "pass"))
    return marks


def failed_channels(marks: Sequence[Mark]) -> list[str]:
    """Return the channels with a failing mark, in their order."""
    return list(dict.fromkeys(m.channel for m in marks if m.verdict == "fail" and m.channel != WHOLE_SLIDE))


def looks_like_dapi(measures: Mapping[str, ChannelMeasures]) -> str | None:
    """Return the probe channel that lights nuclei more evenly than DAPI, which means that the two are swapped; None without one."""
    if DAPI not in measures or not isfinite(measures[DAPI].fill):
        return None
    fills = {c: m.fill for c, m in measures.items() if c != DAPI and isfinite(m.fill)}
    best = max(fills, key=lambda c: fills[c], default=None)
    return best if best is not None and fills[best] > max(0.4, measures[DAPI].fill + 0.1) else None


def swapped(
    crosstalk: Mapping[tuple[str, str], float], expected: Sequence[tuple[str, str]], channels: Sequence[str]
) -> dict[str, str] | None:
    """Return {channel as named: dye that it shows} where another order of the channels explains the cross-talk and this one does not.

    Light of a dye shows in its neighbours' channels only, so an exchange of names moves cross-talk to pairs that are no neighbours. The
    score of an order is the cross-talk between dyes that are neighbours in it. Another order is returned only where the given one leaves
    out some cross-talk and has a clearly lower score. None without cross-talk.
    """
    unexpected = max((s for pair, s in crosstalk.items() if pair not in expected), default=0.0)
    if unexpected < UNEXPECTED_SHARE or not expected:
        return None

    def score(order: Sequence[str]) -> float:
        name_of = dict(zip(order, channels, strict=True))  # dye -> the channel that is assumed to show it
        return sum(crosstalk.get((name_of[d], name_of[a]), 0.0) for d, a in expected)

    orders = sorted(permutations(channels), key=lambda o: (-round(score(o), 4), sum(a != b for a, b in zip(o, channels, strict=True))))
    if score(orders[0]) < score(channels) + UNEXPECTED_SHARE:
        return None
    return {name: dye for name, dye in zip(channels, orders[0], strict=True) if name != dye}


def _mark(channel: str, measure: str, value: float, limit: Limit, low_is_bad: bool, few: bool, words: str) -> Mark:
    if not isfinite(value):
        return Mark(channel, measure, None, "pass")

    def beyond(edge: float | None) -> bool:
        return edge is not None and (value < edge if low_is_bad else value > edge)

    verdict: Grade = "fail" if beyond(limit.fail) and not few else "warn" if beyond(limit.warn) or beyond(limit.fail) else "pass"
    edge = limit.fail if verdict == "fail" else limit.warn if limit.warn is not None else limit.fail
    sign = "below" if low_is_bad else "above"
    reason = None if verdict == "pass" else f"{words} ({measure} {value:.3g}, {sign} {edge:g})"
    return Mark(channel, measure, value, verdict, reason)
