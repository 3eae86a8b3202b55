"""Contradictions inside an assay definition: the first one found, as the key of the file and what is wrong with it."""

from __future__ import annotations

import numpy as np

from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.rules import OTHER, Subtype, classify, duplicate, unreachable
from cacapp.types import DAPI, PROBE_CHANNELS, Array

FORBIDDEN_WORDS = ("tumour cell", "tumor cell", "diagnos")
Problem = tuple[str, str] | None


def contradiction(assay: Assay) -> Problem:
    """Return (key, what is wrong with it), None for an assay that is sound. Entries of a list are numbered from 1: ``probes #2``."""
    checks = (_probe_problem, _alias_problem, _signal_problem, _nuclei_problem, _class_problem, _subtype_problem, _patient_problem)
    for check in (*checks, _ratio_problem, _quality_problem):
        if (problem := check(assay)) is not None:
            return problem
    return None


def _probe_problem(assay: Assay) -> Problem:
    for i, probe in enumerate(assay.probes, 1):
        if probe.channel not in PROBE_CHANNELS:
            return f"probes #{i} channel", f"unknown channel {probe.channel!r}; there are {', '.join(PROBE_CHANNELS)}"
    if (channel := duplicate(assay.channels)) is not None:
        return "probes", f"channel {channel!r} is used twice"
    if (locus := duplicate([p.locus for p in assay.probes])) is not None:
        return "probes", f"locus {locus!r} is used twice"
    return None


def _alias_problem(assay: Assay) -> Problem:
    known = (DAPI, *assay.channels)
    for channel in assay.aliases:
        if channel not in known:
            return f"aliases.{channel}", f"no channel of this assay; it has {', '.join(known)}"
    if (twice := duplicate([name.casefold() for names in assay.aliases.values() for name in names])) is not None:
        return "aliases", f"{twice!r} is listed twice"
    return None


def _signal_problem(assay: Assay) -> Problem:
    bleed = assay.signals.bleed_through
    for i, pair in enumerate(bleed.pairs, 1):
        for key, channel in (("donor", pair.donor), ("acceptor", pair.acceptor)):
            if channel not in assay.channels:
                key = f"signals.bleed_through.pairs #{i} {key}"
                return key, f"no probe of this assay has channel {channel!r}; it has {', '.join(assay.channels)}"
        if pair.donor == pair.acceptor:
            return f"signals.bleed_through.pairs #{i}", f"{pair.donor} cannot bleed into itself"
    if (twice := duplicate([(p.donor, p.acceptor) for p in bleed.pairs])) is not None:
        return "signals.bleed_through.pairs", f"{twice[0]} into {twice[1]} is listed twice"
    if assay.signals.debris.same_place_in_all_channels and len(assay.probes) < 3:
        # With one or two probes, true signals coincide too often to be called debris for it.
        return "signals.debris.same_place_in_all_channels", "needs three probes or more; set it to false"
    return None


def _nuclei_problem(assay: Assay) -> Problem:
    n = assay.nuclei
    if n.min_area_um2 >= n.max_area_um2:
        return "nuclei.min_area_um2", f"{n.min_area_um2:g} is not below max_area_um2 = {n.max_area_um2:g}"
    if n.single_solidity < n.min_solidity:
        return "nuclei.single_solidity", f"{n.single_solidity:g} is below min_solidity = {n.min_solidity:g}"
    for i, a in enumerate(n.aggregates, 1):
        if a.max_solidity is None and a.min_elongation is None and a.min_area_medians <= 1:
            return (
                f"nuclei.aggregates #{i} min_area_medians",
                f"{a.min_area_medians:g} alone would exclude ordinary nuclei; give more than 1",
            )
    return None


def _class_problem(assay: Assay) -> Problem:
    names = [c.name for c in assay.classes]
    if OTHER in names:
        return f"classes #{names.index(OTHER) + 1} name", f"{OTHER!r} is the name for what no class matches; take another"
    if (name := duplicate(names)) is not None:
        return "classes", f"class {name!r} is defined twice"
    for i, cell_class in enumerate(assay.classes, 1):
        for j, condition in enumerate(cell_class.when, 1):
            if (problem := condition.problem(assay.channels)) is not None:
                return f"classes #{i} when #{j} {problem[0]}", problem[1]
    if (dead := unreachable(assay.classes, assay.channels)) is not None:
        return f"classes #{dead[0] + 1} when", dead[1]
    for name in assay.cac_classes:
        if name not in names:
            return "cac_classes", f"no class is named {name!r}; there are {', '.join(names)}"
    if (name := duplicate(assay.cac_classes)) is not None:
        return "cac_classes", f"{name!r} is listed twice"
    healthy = np.array([[p.copies for p in assay.probes]])
    called = assay.class_names[classify(healthy, assay.classes, assay.channels)[0]]
    if called in assay.cac_classes:
        pattern = ",".join(str(p.copies) for p in assay.probes)
        return "cac_classes", f"a normal nucleus ({pattern}) would be {called!r}, which is one of them"
    return None


def _subtype_problem(assay: Assay) -> Problem:
    if (name := duplicate([s.name for s in assay.subtypes])) is not None:
        return "subtypes", f"subtype {name!r} is defined twice"
    for i, subtype in enumerate(assay.subtypes, 1):
        for name in subtype.classes:
            if name not in assay.class_names:
                return f"subtypes #{i} classes", f"no class is named {name!r}; there are {', '.join(assay.class_names)}"
        if not _subtype_reachable(assay, subtype):
            return f"subtypes #{i}", f"subtype {subtype.name!r} can never match: equal counts never give {', '.join(subtype.classes)}"
    return None


def _subtype_reachable(assay: Assay, subtype: Subtype) -> bool:
    limits = [limit for c in assay.classes for w in c.when for limit in (w.at_least, w.at_most) if limit is not None]
    equal = _equal_patterns(subtype.equal_counts_at_least, max(limits, default=0) + 1, len(assay.probes))
    return any(assay.class_names[i] in subtype.classes for i in classify(equal, assay.classes, assay.channels))


def _equal_patterns(lowest: int, highest: int, n_probes: int) -> Array:
    return np.repeat(np.arange(lowest, max(lowest, highest) + 1)[:, None], n_probes, axis=1)


def _patient_problem(assay: Assay) -> Problem:
    known = [s.name for s in assay.subtypes]
    for name in assay.patient.without_subtypes:
        if name not in known:
            return "patient.without_subtypes", f"no subtype is named {name!r}; there are {', '.join(known) or 'none'}"
    words = {key: text for key, text in assay.patient.verdicts.model_dump().items() if text is not None}
    if (word := duplicate(list(words.values()))) is not None:
        return "patient.verdicts", f"{word!r} stands for two verdicts"
    for key, text in words.items():
        if any(word in text.lower() for word in FORBIDDEN_WORDS):
            return f"patient.verdicts.{key}", f"{text!r} reads as a diagnosis; this is for research use only"
    return None


def _ratio_problem(assay: Assay) -> Problem:
    limit, words = assay.patient.threshold_per_100ul, assay.patient.verdicts
    if assay.ratio is None:
        return None if limit is not None else ("patient.threshold_per_100ul", "missing; a ratio assay gives [ratio] instead")
    if limit is not None:
        return "patient.threshold_per_100ul", "the verdict cannot follow both CACs per 100 µL and [ratio]; leave one out"
    if words.equivocal is None and any(o.verdict == "equivocal" for o in assay.ratio.outcomes):
        return "patient.verdicts.equivocal", "missing; an outcome of [ratio] is equivocal"
    return assay.ratio.problem(assay.channels)


def _quality_problem(assay: Assay) -> Problem:
    highest = max(p.copies for p in assay.probes)
    if assay.nuclei.max_signals <= highest:
        return "nuclei.max_signals", f"{assay.nuclei.max_signals} would exclude normal nuclei, which have {highest} signals; give more"
    return assay.quality.problem()
