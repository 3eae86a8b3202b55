"""Which candidate dots count as signals of which nucleus, and for every other one the reason why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from cacapp.arrays.robust import robust_sd
from cacapp.fish.assay.model import Assay, Probe, SignalRules
from cacapp.fish.signals.assignment import Assignment, assign
from cacapp.fish.signals.copies import split_signals
from cacapp.fish.signals.crosstalk import BLEED_SDS, estimate_share
from cacapp.types import Array, DotPairs, Instance, OverlapZone, Signals

OUTSIDE = "outside"
BELOW_MIN_SNR = "below_min_snr"
BLEED_THROUGH = "bleed_through"
DEBRIS = "debris"
SPLIT_OF = "split_of"
WEAK_RELATIVE = "weak_relative"
NON_SPECIFIC = "non_specific"  # these two by cacapp.fish.probability
AUTOFLUORESCENCE = "autofluorescence"
REASONS = (OUTSIDE, BELOW_MIN_SNR, BLEED_THROUGH, DEBRIS, SPLIT_OF, WEAK_RELATIVE, NON_SPECIFIC, AUTOFLUORESCENCE)
SNR_RANGE = (0.75, 2.0)  # of a probe's min_snr: how far a frame's own distribution moves the threshold


@dataclass(frozen=True, slots=True)
class Spots:
    """N candidate dots of one channel, judged, in the order of the candidates.

    Attributes:
        yx: (N, 2) float32, px, in the frame's coordinates.
        snr, amplitude, sigma_px: (N,) float32, as the detector gave them.
        cell: (N,) int32, index into the frame's nuclei, -1 outside all of them.
        reason: (N,) object: None for a dot that counts, else one of ``REASONS``, the first that applied in that order.
        other: (N,) int32, the second nucleus that is near enough to own the dot, -1 where there is none, ``UNSEGMENTED`` where it could
            belong to something that is no nucleus of the frame.
        in_overlap: (N,) bool, the dot lies inside both masks of two overlapping nuclei.
        slack: (N,) float32, SNR by which the dot clears what it had to in order to count; negative: what it is short of that. -inf for a
            dot that counts under no evidence of its own: outside, bleed-through, debris.
    """

    yx: Array
    snr: Array
    amplitude: Array
    sigma_px: Array
    cell: Array
    reason: Array
    other: Array
    in_overlap: Array
    slack: Array

    def __len__(self) -> int:
        return len(self.yx)

    @property
    def counts(self) -> Array:
        """(N,) bool, the dot is a counted signal."""
        return np.array([r is None for r in self.reason], bool)

    @property
    def ambiguous(self) -> Array:
        """(N,) bool, the dot could belong to something other than its nucleus."""
        return np.asarray(self.other != -1)


def judge_spots(
    candidates: Mapping[str, Signals],
    nuclei: Sequence[Instance],
    pixel_size_um: float | None,
    assay: Assay,
    zones: Sequence[OverlapZone] = (),
    pairs: Mapping[str, DotPairs] | None = None,
) -> dict[str, Spots]:
    """Assign every candidate dot to its nucleus and decide whether it counts.

    The rules in their order, each applied to what the earlier ones left:
    outside (no nucleus within the rim tolerance); below_min_snr (see ``least_snr``); bleed_through (see ``bleed_through``);
    debris (dots of all probe channels at one place, far too bright ones, and wide or bright ones across the border of the mask);
    split_of (part of a stronger dot of the same nucleus and channel, see ``fish.signals.copies``); weak_relative (far below the mean of
    the nucleus' own brightest signals of that channel). A diffuse signal counts like any other.

    Args:
        candidates: dots by channel, in the frame's coordinates, one entry for each probe of the assay and no other.
        nuclei: the frame's instances; ``Spots.cell`` is the index into them.
        pixel_size_um: edge length of a pixel in µm, None where unknown.
        zones: where nuclei may lie over each other: counted dots there are ambiguous.
        pairs: fits of close candidates by channel, see ``cacapp.fish.signals.copies.fit_pairs``.

    Raises:
        ValueError: the candidates' channels are not the assay's.
    """
    if set(candidates) != set(assay.channels):
        raise ValueError(f"candidates of {', '.join(sorted(candidates))}; assay {assay.name} has {', '.join(sorted(assay.channels))}")
    diameter_px = assay.signals.signal_diameter_px(pixel_size_um)
    bleed = bleed_through(candidates, assay, diameter_px)
    assigned = _assign_all(candidates, nuclei, assay, diameter_px, zones)
    codes: dict[str, Array] = {}
    min_snr: dict[str, float] = {}
    for probe in assay.probes:
        dots, a = candidates[probe.channel], assigned[probe.channel]
        code = np.zeros(len(dots), np.int8)
        _mark(code, a.cell < 0, OUTSIDE)
        min_snr[probe.channel] = least_snr(dots.snr[(a.cell >= 0) & (code == 0) & ~bleed[probe.channel]], probe.min_snr, assay.signals)
        # "not at least" rather than "below": an SNR that is no number does not count.
        _mark(code, ~(dots.snr >= min_snr[probe.channel]), BELOW_MIN_SNR)
        _mark(code, bleed[probe.channel], BLEED_THROUGH)
        codes[probe.channel] = code
    if assay.signals.debris.same_place_in_all_channels:
        left = {c: np.flatnonzero(codes[c] == 0) for c in assay.channels}
        places = [candidates[c].yx[left[c]] for c in assay.channels]
        for channel, index in zip(assay.channels, _in_all(places, assay.signals.debris.radius_diameters * diameter_px), strict=True):
            _mark(codes[channel], left[channel][index], DEBRIS)
    for c in assay.channels:
        _mark(codes[c], _oversized(candidates[c], assigned[c], codes[c] == 0, assay), DEBRIS)
    spots = {}
    for probe in assay.probes:
        c = probe.channel
        close = pairs[c] if pairs else None
        spots[c] = _judge_copies(candidates[c], assigned[c], codes[c], min_snr[c], probe, assay.signals, diameter_px, close)
    return spots


def _judge_copies(
    dots: Signals, a: Assignment, code: Array, min_snr: float, probe: Probe, rules: SignalRules, diameter_px: float, pairs: DotPairs | None
) -> Spots:
    """Return the dots of a channel after the last two rules, split_of and weak_relative; ``code`` is the earlier rules' and is changed."""
    left = np.flatnonzero(code == 0)
    close = None if pairs is None else _among(pairs, left)
    split, apart = split_signals(dots.take(left), a.cell[left], diameter_px, close)
    _mark(code, left[split], SPLIT_OF)
    least = _least_amplitude(dots.amplitude, a.cell, code == 0, probe, rules.min_relative_amplitude)
    _mark(code, (code == 0) & (dots.amplitude < least), WEAK_RELATIVE)
    reason = np.array([None, *REASONS], object)[code]
    slack = dots.snr - np.maximum(min_snr, dots.snr * least / np.maximum(dots.amplitude, np.finfo(np.float32).tiny))
    slack[left] = np.minimum(slack[left], apart)
    slack[np.isin(code, [REASONS.index(r) + 1 for r in (OUTSIDE, BLEED_THROUGH, DEBRIS)]) | ~np.isfinite(dots.snr)] = -np.inf
    return Spots(dots.yx, dots.snr, dots.amplitude, dots.sigma_px, a.cell, reason, a.other, a.in_overlap, slack.astype(np.float32))


def least_snr(snr: Array, min_snr: float, rules: SignalRules) -> float:
    """Return the SNR that a dot must have: where the frame's own dots of the channel end, but never far from the probe's ``min_snr``.

    Signals of a channel are about log-normal in SNR; the threshold lies ``snr_tail`` robust standard deviations below their median, between
    ``SNR_RANGE`` times ``min_snr``. With fewer than ``snr_sample`` dots above ``min_snr`` it is ``min_snr``.

    Args:
        snr: (N,) of the dots in nuclei.
    """
    signals = np.log(snr[np.isfinite(snr) & (snr >= min_snr)])
    if rules.snr_tail == 0 or len(signals) < rules.snr_sample:
        return min_snr
    middle = float(np.median(signals))
    spread = robust_sd(signals, middle)
    return float(np.clip(np.exp(middle - rules.snr_tail * spread), SNR_RANGE[0] * min_snr, SNR_RANGE[1] * min_snr))


def _assign_all(
    candidates: Mapping[str, Signals], nuclei: Sequence[Instance], assay: Assay, diameter_px: float, zones: Sequence[OverlapZone]
) -> dict[str, Assignment]:
    """Return the assignment of each channel's dots, made in one go: the masks are laid out once."""
    rim_px, ambiguous_px = (d * diameter_px for d in (assay.signals.rim_tolerance_diameters, assay.signals.contested_diameters))
    together = assign(np.concatenate([candidates[c].yx for c in assay.channels]), nuclei, rim_px, ambiguous_px, zones)
    parts, start = {}, 0
    for channel in assay.channels:
        part = slice(start, start + len(candidates[channel]))
        parts[channel], start = together.take(part), part.stop
    return parts


def _mark(code: Array, where: Array, reason: str) -> None:
    """Give the reason to the dots at ``where`` (bool or integer index) that have none yet."""
    index = np.flatnonzero(where) if where.dtype == bool else where
    code[index[code[index] == 0]] = REASONS.index(reason) + 1


def _in_all(places: Sequence[Array], radius_px: float) -> list[Array]:
    """Return by channel the indices of its dots that have a dot of every other channel within the radius of the first one's dot."""
    if any(len(p) == 0 for p in places):
        return [np.zeros(0, np.int64) for _ in places]
    anchors = np.arange(len(places[0]))
    near = [anchors]
    everywhere = np.ones(len(anchors), bool)
    for yx in places[1:]:
        distance, index = cKDTree(yx).query(places[0], distance_upper_bound=radius_px)
        everywhere &= np.isfinite(distance)
        near.append(index)
    return [index[everywhere] for index in near]


def _among(pairs: DotPairs, chosen: Array) -> DotPairs:
    """Return the pairs of which both dots are among the chosen ones (sorted integers), numbered as those are."""
    place = np.searchsorted(chosen, pairs.index)
    both = (chosen[np.minimum(place, len(chosen) - 1)] == pairs.index).all(axis=1) if len(chosen) else np.zeros(len(pairs.index), bool)
    return DotPairs(place[both], pairs.separation_px[both], pairs.amplitude[both], pairs.two[both])


def _oversized(dots: Signals, assigned: Assignment, left: Array, assay: Assay) -> Array:
    """Return (N,) bool: dots of those ``left`` too bright for a signal, or too bright or wide for one that lies off its nucleus' mask."""
    rules = assay.signals.debris
    if np.count_nonzero(left) < rules.min_signals:
        return np.zeros(len(dots), bool)
    height, width = float(np.median(dots.amplitude[left])), float(np.median(dots.sigma_px[left]))
    across = assigned.off & ((dots.amplitude > rules.rim_amplitude_medians * height) | (dots.sigma_px > rules.rim_width_medians * width))
    result: Array = left & ((dots.amplitude > rules.max_amplitude_medians * height) | across)
    return result


def _least_amplitude(amplitude: Array, cell: Array, left: Array, probe: Probe, min_relative: float) -> Array:
    """Return (N,) the least amplitude of a signal: ``min_relative`` of the mean of its nucleus' ``probe.copies`` brightest dots left."""
    least = np.zeros(len(amplitude))
    index = np.flatnonzero(left)
    if not len(index):
        return least
    order = index[np.lexsort((-amplitude[index], cell[index]))]
    first = np.flatnonzero(np.diff(cell[order], prepend=cell[order[0]] - 1))
    group = np.searchsorted(first, np.arange(len(order)), side="right") - 1
    top = np.arange(len(order)) - first[group] < probe.copies
    means = np.bincount(group[top], weights=amplitude[order][top]) / np.bincount(group[top])
    of_cell = np.zeros(int(cell.max(initial=0)) + 2)
    of_cell[cell[order[first]]] = min_relative * means
    result: Array = np.where(cell >= 0, of_cell[cell], 0)
    return result


def bleed_through(candidates: Mapping[str, Signals], assay: Assay, diameter_px: float) -> dict[str, Array]:
    """Return for each channel (N,) bool: the dot is no brighter than the bleed-through predicted from the stronger dots under it.

    A dot is bleed-through where its amplitude, less three standard deviations of its own noise (amplitude / SNR), stays within
    ``BleedShare.highest`` of its donors, and its amplitude within their ``max_share``. Donors of several dyes add up.

    Args:
        candidates: dots of every probe channel.
        diameter_px: of one signal.
    """
    rules = assay.signals.bleed_through
    radius_px = rules.radius_diameters * diameter_px
    predicted = {c: np.zeros(len(s)) for c, s in candidates.items()}
    bound = {c: np.zeros(len(s)) for c, s in candidates.items()}
    min_snr = {p.channel: p.min_snr for p in assay.probes}
    for pair in rules.pairs:
        donor = candidates[pair.donor]
        donor = donor.take(donor.snr >= min_snr[pair.donor])
        acceptor = candidates[pair.acceptor]
        if not len(donor) or not len(acceptor):
            continue
        share = estimate_share(donor, acceptor, pair, radius_px, rules.min_donor_spots)
        distance, index = cKDTree(donor.yx).query(acceptor.yx, distance_upper_bound=radius_px)
        under = np.isfinite(distance)
        predicted[pair.acceptor][under] += share.highest * donor.amplitude[index[under]]
        bound[pair.acceptor][under] += pair.max_share * donor.amplitude[index[under]]
    result = {}
    for channel, dots in candidates.items():
        noise = dots.amplitude / np.maximum(dots.snr, np.finfo(np.float32).tiny)
        within = dots.amplitude <= np.minimum(predicted[channel] + BLEED_SDS * noise, bound[channel])
        result[channel] = within & (bound[channel] > 0)
    return result
