"""Would-be CACs that may be two nuclei in one outline: their DAPI has a seam, and the seam parts their signals into two calm nuclei."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.calls import is_cac
from cacapp.fish.doubt.concavities import necks
from cacapp.fish.doubt.intensity_seams import Seams, seams
from cacapp.fish.doubt.partition import more_than_tetraploid, splits_into_two_non_cac, splits_off_a_normal_nucleus
from cacapp.fish.signals.judge import Spots
from cacapp.types import Array, Instance

MAX_SINGLE = 60  # nuclei of the frame that show what seams single nuclei have
MIN_SINGLE = 20  # fewer: what a seam is cannot be told
USUAL = 93  # percentile of the strongest seams of single nuclei: a stronger one is unusual
PAIR = 0.8  # of the median area: two nuclei in one outline with a neck are seldom smaller
PART = 0.33  # of the median area: what is smaller may be a part of a nucleus
LEAST = 0.05  # of a nucleus' light: a weaker step is no seam, however even the frame's nuclei are


def seam_threshold(dapi: Array, background: float, nuclei: Sequence[Instance], single: Array) -> float:
    """How strong a seam single nuclei of the frame have at most, but for a few; infinite where they are too few to tell.

    Args:
        dapi: (Y, X). background: its grey value without a nucleus.
        single: (N,) bool, nuclei that are taken for single ones.
    """
    ordinary = np.flatnonzero(single)
    ordinary = ordinary[:: max(1, -(-len(ordinary) // MAX_SINGLE))]
    if len(ordinary) < MIN_SINGLE:
        return float("inf")
    return max(LEAST, float(np.percentile([seams(dapi, nuclei[i], background).strongest() for i in ordinary.tolist()], USUAL)))


def without_concavity_or_seam(dapi: Array, background: float, nuclei: Sequence[Instance], which: Array, usual: float) -> Array:
    """(N,) bool: of those looked at (``which``), the outline has no neck and no deep bend, and no seam is stronger than usual."""
    result = np.zeros(len(nuclei), bool)
    if np.isfinite(usual):
        for i in np.flatnonzero(which).tolist():
            neck = necks(nuclei[i])
            bent = len(neck.across.angle) or len(neck.onward.angle)
            result[i] = not bent and seams(dapi, nuclei[i], background).strongest() <= usual
    return result


def may_be_two(
    dapi: Array,
    background: float,
    nuclei: Sequence[Instance],
    spots: Mapping[str, Spots],
    counts: Array,
    evaluable: Array,
    assay: Assay,
    usual: float,
) -> Array:
    """(N,) bool: the cell would be a CAC, but is explained as several nuclei.

    A line parts its signals into two calm nuclei, where the outline has a neck, or into a calm one and a normal one, where DAPI has an
    unusually strong step or dip or the outline one deep bend; or it has more copies than a tetraploid nucleus.

    Args:
        dapi: (Y, X). background: its grey value without a nucleus.
        nuclei: N of the frame. spots: as judged. counts: (N, P) int, their signals. evaluable: (N,) bool.
        usual: as ``seam_threshold`` gives it.
    """
    would_be = evaluable & is_cac(counts, assay)
    doubt = would_be & more_than_tetraploid(counts, assay)
    for i in np.flatnonzero(would_be & ~doubt & ~_smaller(PAIR, nuclei, evaluable)).tolist():
        neck = necks(nuclei[i])
        across, onward = (_counts_by_side(lines, spots, i, assay) for lines in (neck.across, neck.onward))
        doubt[i] = splits_into_two_non_cac(across, assay).any() or splits_off_a_normal_nucleus(onward, assay).any()
    for i in np.flatnonzero(would_be & ~doubt).tolist():
        found = seams(dapi, nuclei[i], background)
        strong = found.strength > usual
        if strong.any():
            unusual = Seams(found.angle[strong], found.offset_px[strong], found.strength[strong])
            doubt[i] = splits_off_a_normal_nucleus(_counts_by_side(unusual, spots, i, assay), assay).any()
    return doubt


def may_be_part(nuclei: Sequence[Instance], evaluable: Array) -> Array:
    """(N,) bool: much smaller than the frame's nuclei are; more copies of a locus in a third of a nucleus are not to be expected."""
    if np.count_nonzero(evaluable) < MIN_SINGLE:
        return np.zeros(len(nuclei), bool)
    return _smaller(PART, nuclei, evaluable)


def _smaller(share: float, nuclei: Sequence[Instance], evaluable: Array) -> Array:
    """(N,) bool: the area is less than this share of the evaluable nuclei's median; none where none is evaluable."""
    area = np.array([np.count_nonzero(n.mask) for n in nuclei])
    return np.asarray(area < share * np.median(area[evaluable])) if evaluable.any() else np.zeros(len(nuclei), bool)


def _counts_by_side(lines: Seams, spots: Mapping[str, Spots], cell: int, assay: Assay) -> Array:
    """(K, 2, P) int, the counted signals of a cell on either side of each line."""
    counts = np.zeros((len(lines.angle), 2, len(assay.probes)), np.int64)
    for column, channel in enumerate(assay.channels):
        s = spots[channel]
        beyond = lines.side(s.yx[s.counts & (s.cell == cell)].astype(float))
        counts[:, 1, column] = beyond.sum(axis=1)
        counts[:, 0, column] = (~beyond).sum(axis=1)
    return counts
