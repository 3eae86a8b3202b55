"""The probability of a CAC for each nucleus of a frame, the copies that count by it, and the reasons in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.probability import OtherLight
from cacapp.fish.probability.candidates import Candidates, lay_out
from cacapp.fish.probability.cells import copy_probabilities, depends_on_gains_alone
from cacapp.fish.probability.other_light import same_place, second_light
from cacapp.fish.probability.reasons import reasons
from cacapp.fish.signals.judge import AUTOFLUORESCENCE, NON_SPECIFIC, WEAK_RELATIVE, Spots
from cacapp.types import Array

DIAMETER_IN_SIGMAS = 3.3  # of a dot: the diameter of a signal over its standard deviation


@dataclass(frozen=True, slots=True)
class FrameProbabilities:
    """The probabilities of the N nuclei of a frame.

    Attributes:
        spots: the judged dots by channel; where probabilities are known, the most probable number of copies counts, the highest dots first.
        p_cac: (N,) that the assay's criteria hold, NaN where it is not known.
        granular: (N,) bool, granules that shine in all channels lie in the nucleus.
        terms: N texts, what leaves the probability between 0 and 1; None where nothing does.
    """

    spots: Mapping[str, Spots]
    p_cac: Array
    granular: Array
    terms: list[str | None]


def weigh(
    spots: Mapping[str, Spots], planes: Mapping[str, Array], evaluable: Array, pixel_size_um: float | None, assay: Assay
) -> FrameProbabilities:
    """Return the probabilities of a frame's nuclei.

    They are not known where the assay has no table ``probability``, asks for losses or a ratio, or too few nuclei are evaluable: the dots
    then count as they were judged.

    Args:
        spots: as ``judge_spots`` left them. planes: (Y, X) by channel.
        evaluable: (N,) bool, by outline and focus.
    """
    n, p = len(evaluable), assay.probability
    unknown = FrameProbabilities(spots, np.full(n, np.nan), np.zeros(n, bool), [None] * n)
    if p is None or not depends_on_gains_alone(assay):
        return unknown
    diameter_px = assay.signals.signal_diameter_px(pixel_size_um)
    lit = _lit_elsewhere(spots, planes, diameter_px, p.other_light)
    granular = _granular(spots, lit, n, p.other_light.granules_per_probe * len(spots))
    use = evaluable & ~granular
    if np.count_nonzero(use) < p.min_nuclei:
        return replace(unknown, granular=granular)
    dots = _candidates(spots, lit, granular, use, assay, p.other_light, diameter_px)
    found = copy_probabilities([dots[c] for c in assay.channels], use, assay, p)
    counted = {c: _recounted(spots[c], dots[c], k, lit[c], granular) for c, k in zip(assay.channels, found.copies, strict=True)}
    return FrameProbabilities(counted, found.p_cac, granular, reasons(dots, found, lit, granular, assay))


def _lit_elsewhere(spots: Mapping[str, Spots], planes: Mapping[str, Array], diameter_px: float, light: OtherLight) -> dict[str, Array]:
    """Return by channel (N,) bool: the dot's place in its nucleus shines in two other channels."""
    result = {}
    for channel, s in spots.items():
        inside = np.flatnonzero(s.cell >= 0)
        share = second_light(
            planes, channel, s.yx[inside], s.amplitude[inside], diameter_px / DIAMETER_IN_SIGMAS, light.reach_diameters * diameter_px
        )
        result[channel] = np.zeros(len(s), bool)
        result[channel][inside] = share >= light.lit_share
    return result


def _granular(spots: Mapping[str, Spots], lit: Mapping[str, Array], n: int, most: float) -> Array:
    """Return (N,) bool: nuclei with at least ``most`` dots whose places shine in other channels."""
    number = np.zeros(n, np.int64)
    for channel, s in spots.items():
        number += np.bincount(s.cell[lit[channel]], minlength=n)
    return np.asarray(number >= most)


def _candidates(
    spots: Mapping[str, Spots], lit: Mapping[str, Array], granular: Array, use: Array, assay: Assay, light: OtherLight, diameter_px: float
) -> dict[str, Candidates]:
    """Return the laid out dots that count or are weak, with the rates of other sources of their light."""
    which, number = {}, {}
    for c in assay.channels:
        s = spots[c]
        which[c] = np.flatnonzero((s.counts | (s.reason == WEAK_RELATIVE)) & (s.cell >= 0) & ~(lit[c] & granular[s.cell]))
        number[c] = np.bincount(s.cell[which[c]], minlength=len(granular))
    more = {p.channel: number[p.channel] > p.copies for p in assay.probes}
    shining = {c: which[c][lit[c][which[c]] & more[c][spots[c].cell[which[c]]]] for c in assay.channels}
    crowded = {c: more[c] & use for c in assay.channels}
    excess = sum(crowded[c][spots[c].cell[shining[c]]].sum() - light.met * number[c][crowded[c]].sum() for c in assay.channels)
    debris = max(float(excess), 0.0) / len(more) + light.debris * light.debris_weight
    debris /= np.count_nonzero(use) + light.debris_weight
    radius_px = assay.signals.debris.radius_diameters * diameter_px
    places, cells = [spots[c].yx[shining[c]] for c in assay.channels], [spots[c].cell[shining[c]] for c in assay.channels]
    result = {}
    for probe, together in zip(assay.probes, same_place(places, cells, radius_px), strict=True):
        c, s = probe.channel, spots[probe.channel]
        whole = (s.other >= 0) & (number[c][s.other] >= probe.copies)
        other = np.where(whole, light.whole_neighbour, light.neighbour) * s.ambiguous
        other = other + debris / light.met * lit[c] + light.granular * (granular[s.cell] & (s.cell >= 0))
        # one speck explains a dot of each of the two probes
        other[shining[c][together]] += np.sqrt(debris / light.met_beyond)
        result[c] = lay_out(s.amplitude.astype(float), s.sigma_px.astype(float), other, s.cell, which[c], len(granular))
    return result


def _recounted(s: Spots, dots: Candidates, copies: Array, lit: Array, granular: Array) -> Spots:
    """Return the dots with the most probable number of copies counted."""
    reason, slack = s.reason.copy(), s.slack.copy()
    number = copies.argmax(axis=1)
    counts = dots.there & (np.arange(dots.dot.shape[1]) < number[:, None])
    gained, lost = dots.dot[counts], dots.dot[dots.there & ~counts]
    reason[gained], slack[gained] = None, np.abs(slack[gained])
    reason[lost], slack[lost] = NON_SPECIFIC, -np.abs(slack[lost])
    glow = lit & (s.cell >= 0) & granular[s.cell] & s.counts
    reason[glow], slack[glow] = AUTOFLUORESCENCE, -np.inf
    return replace(s, reason=reason, slack=slack)
