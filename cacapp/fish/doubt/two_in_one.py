"""CACs that may be two nuclei in one outline, or part of one: two normal nuclei taken together have the counts of a CAC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.doubt.concavities import concave_cuts
from cacapp.fish.doubt.intensity_seams import Seams, seams
from cacapp.fish.doubt.partition import more_than_tetraploid, splits_into_two_non_cac, splits_off_a_normal_nucleus
from cacapp.fish.evidence import PART, TWO_NUCLEI, Evidence
from cacapp.fish.signals.judge import Spots
from cacapp.types import Array, Instance

MAX_SINGLE = 60  # single nuclei of the frame whose seams are measured
MIN_SINGLE = 20  # fewer: the frame has no threshold for seams
SEAM_PERCENTILE = 93  # of the strongest seams of single nuclei: a stronger one is unusual
MIN_PAIR_AREA = 0.8  # of the median area: two nuclei in one outline with a concavity are seldom smaller
PART_AREA = 0.33  # of the median area: a smaller outline may be a part of a nucleus
MIN_SEAM = 0.05  # of a nucleus' light: a weaker step is no seam, however even the frame's nuclei are


def two_nuclei(evidence: Evidence) -> tuple[Array, str]:
    """Doubt CACs that several nuclei explain.

    A line divides the signals into two nuclei that are no CACs, where the outline has two concavities; or into a normal nucleus and the
    rest of another, where the outline has one deep concavity or DAPI an unusually strong step or dip; or the cell has more copies than a
    tetraploid nucleus.
    """
    e = evidence
    cac = e.evaluable & e.assay.is_cac(e.counts)
    doubted = cac & more_than_tetraploid(e.counts, e.assay)
    for i in np.flatnonzero(cac & ~doubted & ~_smaller(MIN_PAIR_AREA, e.nuclei, e.evaluable)).tolist():
        cuts = concave_cuts(e.nuclei[i])
        across, onward = (_counts_by_side(lines, e.spots, i, e.assay) for lines in (cuts.across, cuts.onward))
        doubted[i] = splits_into_two_non_cac(across, e.assay).any() or splits_off_a_normal_nucleus(onward, e.assay).any()
    for i in np.flatnonzero(cac & ~doubted).tolist():
        found = seams(e.dapi, e.nuclei[i], e.background)
        strong = found.strength > e.seam_threshold
        if strong.any():
            unusual = Seams(found.angle[strong], found.offset_px[strong], found.strength[strong])
            doubted[i] = splits_off_a_normal_nucleus(_counts_by_side(unusual, e.spots, i, e.assay), e.assay).any()
    return doubted, TWO_NUCLEI


def part_of_a_nucleus(evidence: Evidence) -> tuple[Array, str]:
    """Doubt CACs much smaller than the frame's nuclei: a third of a nucleus is not expected to hold more copies of a locus."""
    e = evidence
    if np.count_nonzero(e.evaluable) < MIN_SINGLE:
        return np.zeros(len(e.nuclei), bool), PART
    return e.assay.is_cac(e.counts) & _smaller(PART_AREA, e.nuclei, e.evaluable), PART


def seam_threshold(dapi: Array, background: float, nuclei: Sequence[Instance], single: Array) -> float:
    """Return how strong the seams of the frame's single nuclei are at most, but for a few; infinite where they are too few to tell.

    Args:
        dapi: (Y, X) of any numeric dtype.
        background: its grey value without a nucleus.
        single: (N,) bool, nuclei that are taken for single ones.
    """
    ordinary = np.flatnonzero(single)
    ordinary = ordinary[:: max(1, -(-len(ordinary) // MAX_SINGLE))]
    if len(ordinary) < MIN_SINGLE:
        return float("inf")
    strongest = [seams(dapi, nuclei[i], background).strongest() for i in ordinary.tolist()]
    return max(MIN_SEAM, float(np.percentile(strongest, SEAM_PERCENTILE)))


def without_concavity_or_seam(dapi: Array, background: float, nuclei: Sequence[Instance], which: Array, threshold: float) -> Array:
    """Return (N,) bool: the nucleus is among ``which``, (N,) bool, its outline has no concavity, and its seams are within the threshold."""
    result = np.zeros(len(nuclei), bool)
    if np.isfinite(threshold):
        for i in np.flatnonzero(which).tolist():
            cuts = concave_cuts(nuclei[i])
            concave = len(cuts.across.angle) or len(cuts.onward.angle)
            result[i] = not concave and seams(dapi, nuclei[i], background).strongest() <= threshold
    return result


def _smaller(share: float, nuclei: Sequence[Instance], evaluable: Array) -> Array:
    """Return (N,) bool: the area is less than this share of the evaluable nuclei's median; none where none is evaluable."""
    area = np.array([np.count_nonzero(n.mask) for n in nuclei])
    return np.asarray(area < share * np.median(area[evaluable])) if evaluable.any() else np.zeros(len(nuclei), bool)


def _counts_by_side(lines: Seams, spots: Mapping[str, Spots], cell: int, assay: Assay) -> Array:
    """Return (K, 2, P) int, the counted signals of a cell on either side of each line."""
    counts = np.zeros((len(lines.angle), 2, len(assay.probes)), np.int64)
    for column, channel in enumerate(assay.channels):
        s = spots[channel]
        beyond = lines.side(s.yx[s.counts & (s.cell == cell)].astype(float))
        counts[:, 1, column] = beyond.sum(axis=1)
        counts[:, 0, column] = (~beyond).sum(axis=1)
    return counts
