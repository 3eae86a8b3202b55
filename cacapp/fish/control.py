"""False calls on slides of healthy donors: their rate, normal cut-offs, and how far errors alone explain a patient's count.

Every evaluable nucleus of a healthy donor that is called a CAC counts as a false one. Errors of nuclei are assumed to be independent, so
the counts are binomial; where donors differ from each other, the true spread is larger than these limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cacapp.fish.assay.model import Assay

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class ControlPool:
    """The sum over healthy donors' slides.

    Attributes:
        slides, donors: how many.
        evaluable: their evaluable nuclei, ``cacs`` of which were called CACs.
        classes: evaluable nuclei by class.
        copies: evaluable nuclei by probe channel and number of signals.
    """

    slides: int
    donors: int
    evaluable: int
    cacs: int
    classes: Mapping[str, int] = field(default_factory=dict)
    copies: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cutoff:
    """The frequency of a finding in healthy donors, and its normal limit.

    Attributes:
        finding: "cac", "red gain", "red loss", ...
        cells, of: nuclei with the finding, and all evaluable ones.
        share: the one over the other.
        limit: one-sided exact upper limit of the share; a patient's share above it is beyond normal.
        limit_cells: largest count still normal on ``per_cells`` nuclei, CRITBINOM(per_cells, share, confidence).
    """

    finding: str
    cells: int
    of: int
    share: float
    limit: float
    limit_cells: int
    per_cells: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A patient's share of a finding, with its cut-off."""

    cutoff: Cutoff
    cells: int
    of: int

    @property
    def share(self) -> float:
        return self.cells / self.of if self.of else 0.0

    @property
    def beyond(self) -> bool:
        """Tell whether the patient's share is above the normal limit."""
        return self.share > self.cutoff.limit


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """The number of CACs that errors alone would give in a patient.

    Attributes:
        pool: the healthy donors' slides.
        rate, rate_low, rate_high: false CACs per evaluable nucleus with the Clopper-Pearson interval.
        cells, observed: the patient's evaluable nuclei and CACs.
        expected, expected_low, expected_high: false CACs on that many nuclei.
        probability: of the observed count or more at the rate seen in the controls (0 where they had none).
        probability_high: the same at the upper end of the rate's interval.
        probability_exact: one-sided Fisher test of the patient against the controls, which holds however few nuclei these have.
        findings: the patient's classes and probes with their cut-offs.
        confidence: of interval and cut-offs.
    """

    pool: ControlPool
    rate: float
    rate_low: float
    rate_high: float
    cells: int
    observed: int
    expected: float
    expected_low: float
    expected_high: float
    probability: float
    probability_high: float
    probability_exact: float
    findings: tuple[Finding, ...] = ()
    confidence: float = CONFIDENCE


def clopper_pearson(k: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact two-sided interval of a share of which ``k`` of ``n`` were seen (Clopper & Pearson 1934); (0, 1) of none.

    low = BETAINV(α/2; k; n − k + 1), high = BETAINV(1 − α/2; k + 1; n − k) with α = 1 − confidence.

    >>> low, high = clopper_pearson(3, 1000)
    >>> round(low, 6), round(high, 6)
    (0.000619, 0.008742)
    """
    from scipy.stats import beta  # takes a third of a second to load: only where it is needed

    _require(k, n, confidence)
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
    high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
    return low, high


def upper_limit(k: int, n: int, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided exact upper limit of a share, BETAINV(confidence; k + 1; n − k): the normal cut-off; 1 of none.

    >>> round(upper_limit(0, 500), 5)  # the "rule of three": 3 / 500
    0.00597
    """
    from scipy.stats import beta

    _require(k, n, confidence)
    return float(beta.ppf(confidence, k + 1, n - k)) if k < n else 1.0


def largest_normal_count(n: int, share: float, confidence: float = CONFIDENCE) -> int:
    """Return CRITBINOM(n, share, confidence): the smallest count that at least ``confidence`` of normal samples of ``n`` stay at or below.

    >>> largest_normal_count(200, 0.01)
    5
    """
    from scipy.stats import binom

    return int(binom.ppf(confidence, n, share)) if n else 0


def cutoffs(pool: ControlPool, assay: Assay, per_cells: int, confidence: float = CONFIDENCE) -> list[Cutoff]:
    """Return the normal cut-offs of every class that is not normal, and of gain and loss of every probe.

    Args:
        per_cells: the nuclei of a patient that ``limit_cells`` is for.
    """
    found = findings(assay, pool.classes, pool.copies)
    return [
        Cutoff(
            name,
            k,
            pool.evaluable,
            k / pool.evaluable if pool.evaluable else 0.0,
            upper_limit(k, pool.evaluable, confidence),
            largest_normal_count(per_cells, k / pool.evaluable if pool.evaluable else 1.0, confidence),
            per_cells,
        )
        for name, k in found.items()
    ]


def findings(assay: Assay, classes: Mapping[str, int], copies: Mapping[str, Mapping[int, int]]) -> dict[str, int]:
    """Count nuclei by finding: every class but that of a normal nucleus, then "<channel> gain" and "<channel> loss" of every probe."""
    found = {name: classes.get(name, 0) for name in assay.class_names if name != "normal"}
    for probe in assay.probes:
        bins = copies.get(probe.channel, {})
        found[f"{probe.channel} gain"] = sum(cells for n, cells in bins.items() if n > probe.copies)
        found[f"{probe.channel} loss"] = sum(cells for n, cells in bins.items() if n < probe.copies)
    return found


def error_budget(
    pool: ControlPool,
    assay: Assay,
    *,
    cells: int,
    observed: int,
    classes: Mapping[str, int],
    copies: Mapping[str, Mapping[int, int]],
    confidence: float = CONFIDENCE,
) -> ErrorBudget:
    """Estimate from the controls the false CACs of a patient with ``observed`` CACs among ``cells`` evaluable nuclei.

    Args:
        classes, copies: of the patient, as in ``ControlPool``.

    Raises:
        ValueError: controls without nuclei, or more CACs than nuclei.
    """
    from scipy.stats import hypergeom

    if pool.evaluable < 1:
        raise ValueError("controls without evaluable nuclei give no rate")
    _require(observed, cells, confidence)
    rate = pool.cacs / pool.evaluable
    low, high = clopper_pearson(pool.cacs, pool.evaluable, confidence)
    own = findings(assay, classes, copies)
    beside = tuple(Finding(c, own[c.finding], cells) for c in cutoffs(pool, assay, cells, confidence))
    return ErrorBudget(
        pool=pool,
        rate=rate,
        rate_low=low,
        rate_high=high,
        cells=cells,
        observed=observed,
        expected=cells * rate,
        expected_low=cells * low,
        expected_high=cells * high,
        probability=_at_least(observed, cells, rate),
        probability_high=_at_least(observed, cells, high),
        probability_exact=float(hypergeom.sf(observed - 1, pool.evaluable + cells, pool.cacs + observed, cells)) if observed else 1.0,
        findings=beside,
        confidence=confidence,
    )


def _at_least(k: int, n: int, share: float) -> float:
    from scipy.stats import binom

    return float(binom.sf(k - 1, n, share)) if k else 1.0


def _require(k: int, n: int, confidence: float) -> None:
    if not (0 <= k <= n and 0 < confidence < 1):
        raise ValueError(f"{k} of {n} at confidence {confidence:g}: give 0 <= k <= n and a confidence between 0 and 1")
