"""Probabilities of copy numbers and of a CAC: a nucleus has the expected copies, gains of one or several probes, or twice of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.probability import Probability, Rates
from cacapp.fish.probability.candidates import Candidates
from cacapp.fish.probability.likelihood import DotStatistics, explain
from cacapp.fish.probability.statistics import first_statistics, renewed
from cacapp.types import Array

ROUNDS = 6  # of learning from the frame; the probabilities then change by less than 0.001
NEVER = 1e-12  # probability of a number of copies that a state does not have; keeps logarithms finite


@dataclass(frozen=True, slots=True)
class CopyProbabilities:
    """Probabilities of N nuclei for P probes.

    Attributes:
        p_cac: (N,) that the assay's criteria hold.
        copies: by probe (N, J + 1) that the nucleus shows k copies.
        statistics: by probe, as learnt from the frame.
        shares: (4,) of nuclei as expected, with one gain, with several, tetraploid, as learnt.
    """

    p_cac: Array
    copies: list[Array]
    statistics: list[DotStatistics]
    shares: Array


@dataclass(frozen=True, slots=True)
class _States:
    """Posterior of the states of N nuclei: ``gained`` (Z, P) bool patterns of gained probes and one state with twice the copies.

    ``pattern`` (N, Z) and ``twice`` (N,) are their probabilities; ``expected``, ``more``, ``doubled`` (N, J + 1) by probe those of the
    copies in a state with the expected copies, with a gain, with twice the copies.
    """

    gained: Array
    pattern: Array
    twice: Array
    expected: list[Array]
    more: list[Array]
    doubled: list[Array]

    def marginals(self) -> list[Array]:
        """Return by probe (N, J + 1) probabilities of the copies over all states."""
        result = []
        for i, (expected, more, doubled) in enumerate(zip(self.expected, self.more, self.doubled, strict=True)):
            gain = self.pattern[:, self.gained[:, i]].sum(axis=1)
            result.append((1 - gain - self.twice)[:, None] * expected + gain[:, None] * more + self.twice[:, None] * doubled)
        return result


def depends_on_gains_alone(assay: Assay) -> bool:
    """Tell whether no cell without a gain is a CAC. A dot that is not seen looks like a loss; this model has no probability for that."""
    copies = np.array([p.copies for p in assay.probes])
    return assay.ratio is None and not assay.is_cac(np.indices(tuple(copies + 1)).reshape(len(copies), -1).T).any()


def copy_probabilities(dots: Sequence[Candidates], use: Array, assay: Assay, p: Probability) -> CopyProbabilities:
    """Return the probabilities of copy numbers; statistics of dots and shares of states are learnt from the frame by EM.

    Args:
        dots: candidates of each probe in the assay's order.
        use: (N,) bool, nuclei to learn from.
    """
    copies = [probe.copies for probe in assay.probes]
    statistics = [first_statistics(d, c, use, p) for d, c in zip(dots, copies, strict=True)]
    start = np.array([0.0, p.rates.gain_of_one, p.rates.gain_of_several, p.rates.tetraploid])
    start[0] = 1 - start.sum()
    shares = start
    for _ in range(ROUNDS - 1):
        found = [explain(d, s) for d, s in zip(dots, statistics, strict=True)]
        states = _states([f.log_likelihood for f in found], copies, shares, p.rates)
        seen = np.array([*_by_gains(states.pattern[use], states.gained), states.twice[use].sum()])
        shares = (seen + start * p.rates.cells_weight) / (seen.sum() + p.rates.cells_weight)
        statistics = [renewed(s, d, f, m, use, p) for s, d, f, m in zip(statistics, dots, found, states.marginals(), strict=True)]
    log_likelihood = [explain(d, s).log_likelihood for d, s in zip(dots, statistics, strict=True)]
    states = _states(log_likelihood, copies, shares, p.rates)
    return CopyProbabilities(_p_cac(states, assay), states.marginals(), statistics, shares)


def _by_gains(pattern: Array, gained: Array) -> tuple[float, float, float]:
    """Return the expected nuclei without a gain, with one and with several, of (N, Z) probabilities of patterns."""
    number = gained.sum(axis=1)
    return float(pattern[:, number == 0].sum()), float(pattern[:, number == 1].sum()), float(pattern[:, number > 1].sum())


def _states(log_likelihood: Sequence[Array], copies: Sequence[int], shares: Array, rates: Rates) -> _States:
    """Return the posterior of the states by Bayes' rule, probes being independent in each state."""
    joint, evidence = [], []
    for likelihood, c in zip(log_likelihood, copies, strict=True):
        priors = _priors(likelihood.shape[1], c, rates)
        of_probe = [likelihood + np.log(prior) for prior in priors]
        joint.append(of_probe)
        evidence.append([np.logaddexp.reduce(v, axis=1) for v in of_probe])
    expected, more, doubled = (np.stack([e[state] for e in evidence], axis=1) for state in range(3))
    gained = np.array(list(product((False, True), repeat=len(copies))))
    number = gained.sum(axis=1)
    class_ = np.minimum(number, 2)
    prior = shares[class_] / np.bincount(class_, minlength=3)[class_]
    pattern = np.where(gained, more[:, None, :], expected[:, None, :]).sum(axis=2) + np.log(prior)
    twice = doubled.sum(axis=1) + np.log(shares[3])
    total = np.logaddexp(np.logaddexp.reduce(pattern, axis=1), twice)
    of_copies = [[np.exp(v - e[:, None]) for v, e in zip(*one, strict=True)] for one in zip(joint, evidence, strict=True)]
    return _States(
        gained,
        np.exp(pattern - total[:, None]),
        np.exp(twice - total),
        *([one[state] for one in of_copies] for state in range(3)),
    )


def _priors(size: int, copies: int, rates: Rates) -> tuple[Array, Array, Array]:
    """Return the probabilities of k = 0 ... ``size`` - 1 copies to be seen: as expected, with a gain, with twice the copies."""

    def seen(values: dict[int, float]) -> Array:
        prior = np.full(size, NEVER)
        for k, value in values.items():
            if k < size:
                prior[k] = max(value, NEVER)
        return prior

    fewer = range(copies - 1)
    expected = {k: rates.more_copies_unseen / max(len(fewer), 1) for k in fewer} | {copies - 1: rates.one_copy_unseen}
    expected[copies] = 1 - rates.one_copy_unseen - rates.more_copies_unseen
    gains = dict(enumerate(rates.gained_copies, copies + 1))
    last = copies + len(rates.gained_copies)
    rest = max(size - 1 - last, 1)
    gains |= {k: (1 - sum(rates.gained_copies)) / rest for k in range(last + 1, size)}
    unseen = 1 - (1 - rates.one_copy_unseen) ** (2 * copies)
    return seen(expected), seen(gains), seen({2 * copies - 1: unseen, 2 * copies: 1 - unseen})


def _p_cac(states: _States, assay: Assay) -> Array:
    """Return (N,) the probability of the patterns of counts that are CACs."""
    limits = [assay.count_limits(channel) for channel in assay.channels]
    patterns = np.array(list(product(*([0, *one] for one in limits))))
    cac = np.flatnonzero(assay.is_cac(patterns))
    level = [np.searchsorted(one, patterns[cac, i], side="right") for i, one in enumerate(limits)]

    def by_level(copies: Sequence[Array]) -> list[Array]:
        """Return by probe (N, L) the probability that the copies reach each level and not the next."""
        edges = [np.array([0, *one]) for one in limits]
        return [np.add.reduceat(np.pad(c, ((0, 0), (0, e[-1] + 1))), e, axis=1) for c, e in zip(copies, edges, strict=True)]

    expected, more, doubled = (by_level(c) for c in (states.expected, states.more, states.doubled))

    def holds(of_probe: Sequence[Array]) -> Array:
        """Return (N,) the probability of a CAC where probes are independent."""
        return np.asarray(np.prod([one[:, at] for one, at in zip(of_probe, level, strict=True)], axis=0).sum(axis=1))

    result = states.twice * holds(doubled)
    for z, gained in enumerate(states.gained):
        result += states.pattern[:, z] * holds([m if g else e for g, m, e in zip(gained, more, expected, strict=True)])
    return np.asarray(np.clip(result, 0.0, 1.0))
