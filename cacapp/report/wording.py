"""The report's sentences and number formats. They state counts and criteria; they never name a disease in a person."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cacapp.fish.control import ErrorBudget
from cacapp.report.patient_page import PatientReport
from cacapp.report.result import Criteria, ResultNumbers, VerdictWords
from cacapp.report.review import ReviewSummary

RESEARCH_USE = "Research use only. Not for decisions about a patient. Every flagged cell must be reviewed by a trained person."


def integer(n: int) -> str:
    """Format as 12,345."""
    return f"{n:,}"


def number(value: float | None, digits: int = 2) -> str:
    """Format with up to ``digits`` decimals and thousands separated; an en dash for None."""
    if value is None:
        return "–"
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(part: int, whole: int) -> str:
    """A share that tells a small one from none: "0.03 %", "12.5 %"; an en dash of nothing."""
    if whole == 0:
        return "–"
    share = 100.0 * part / whole
    return f"{share:.2f} %" if 0 < share < 1 else f"{share:.1f} %"


def moment(when: datetime | None) -> str:
    """Format as 2026-11-22 21:40 UTC; a time without a zone is UTC, as the database stores it."""
    if when is None:
        return "–"
    utc = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return utc.strftime("%Y-%m-%d %H:%M UTC")


def plain(name: str | None) -> str:
    """A class, subtype or reason as words: "cac" -> "CAC", "balanced_polyploid" -> "balanced polyploid"."""
    if not name:
        return "no class"
    return "CAC" if name == "cac" else name.replace("_", " ")


def plural(n: int, singular: str, several: str | None = None) -> str:
    """Format as 1 cell, 2 cells, 1,234 cells."""
    return f"{integer(n)} {singular if n == 1 else several or singular + 's'}"


def tone(verdict: str, words: VerdictWords) -> str:
    """How a verdict is set: "raised", "settled", or "open" where the criteria gave no answer."""
    return {words.increased: "raised", words.not_increased: "settled"}.get(verdict, "open")


def interval(result: ResultNumbers) -> str | None:
    """ "0.69–7.22", None without a volume."""
    if result.cacs_per_100ul_low is None or result.cacs_per_100ul_high is None:
        return None
    return f"{number(result.cacs_per_100ul_low)}–{number(result.cacs_per_100ul_high)}"


def rate(result: ResultNumbers) -> str:
    """Return CACs per 100 µL, or why there is no number."""
    return "volume unknown" if result.cacs_per_100ul is None else number(result.cacs_per_100ul)


def verdict_sentence(verdict: str, result: ResultNumbers, criteria: Criteria) -> str:
    """Return what the verdict says and what it is based on."""
    threshold, words = number(criteria.threshold_per_100ul), criteria.verdicts
    if result.ratio is not None and verdict != words.insufficient:
        return ratio_sentence(result.ratio)
    if verdict == words.increased:
        katz = criteria.assay_name.startswith("katz")
        if not katz:
            reached = f"{threshold} or more CACs per 100 µL of blood: the assay's limit is reached."
            return f"{reached} The count alone establishes nothing in this person."
        return (
            f"{threshold} or more CACs per 100 µL of blood: consistent with an increased risk of stage I–II lung cancer "
            "by Katz's criteria. The count alone establishes nothing in this person."
        )
    if verdict == words.insufficient:
        return (
            f"{plural(result.evaluable, 'evaluable cell')}, fewer than the {integer(criteria.min_evaluable_cells)} the assay asks for: "
            "too few to compare with the criteria."
        )
    if verdict == words.not_increased:
        whose = "Katz's" if criteria.assay_name.startswith("katz") else "the assay's"
        return f"Fewer than {threshold} CACs per 100 µL of blood: {whose} criterion is not met."
    if result.blood_volume_ul is None:
        return "The volume of blood on the slides is unknown, so there is no rate to compare with the criteria. Counts only."
    return "The criteria gave no answer for these numbers."


def ratio_sentence(ratio: Mapping[str, Any]) -> str:
    """ "1,812 red signals over 902 green ones in 450 cells: ratio 2.01, 4.03 red per cell (group-1)." """
    upper, lower = (f"{integer(ratio['signals'][c])} {c}" for c in (ratio["numerator"], ratio["denominator"]))
    sums = f"{upper} signals over {lower} ones in {plural(ratio['cells'], 'cell')}"
    if ratio["ratio"] is None:
        return f"{sums}: there is no ratio to compare with the criteria."
    return (
        f"{sums}: ratio {ratio['ratio']:.2f}, {ratio['copies']:.2f} {ratio['numerator']} and {ratio['reference_copies']:.2f} "
        f"{ratio['denominator']} per cell ({ratio['outcome']}). The ratio alone establishes nothing in this person."
    )


def criterion(criteria: Criteria) -> str:
    """Return the patient's criteria in short."""
    least = f"at least {integer(criteria.min_evaluable_cells)} evaluable cells"
    if criteria.threshold_per_100ul is None:
        return f"bands of the ratio and the copies per cell, {least}."
    return f"{number(criteria.threshold_per_100ul)} or more CACs per 100 µL, {least}."


def reckoning(result: ResultNumbers, criteria: Criteria) -> str:
    """Return the numbers behind the verdict with their denominators."""
    counted = f"{plural(result.cacs, 'CAC')} among {plural(result.evaluable, 'evaluable cell')} of {integer(result.cells)} found"
    if result.blood_volume_ul is None or result.cacs_per_100ul is None:
        return f"{counted}; blood volume unknown, no rate."
    text = f"{counted}, on slides made from {number(result.blood_volume_ul, 1)} µL of blood: {rate(result)} CACs per 100 µL"
    limits = interval(result)
    return f"{text} ({number(100 * criteria.confidence, 1)} % exact Poisson interval {limits})." if limits else f"{text}."


def standing(review: ReviewSummary | None) -> str:
    """How far the review is: "not reviewed", "in review, 2 flagged cells to decide", "signed by paula, 2026-11-25 00:40 UTC"."""
    if review is None:
        return "not reviewed"
    if review.signed is not None:
        changed = ", but the database was changed outside cacapp since" if review.problems else ""
        return f"signed by {review.signed.signer}, {moment(review.signed.signed_at)}{changed}"
    unsigned = "not signed"
    if review.signatures:
        unsigned = "opened again, not signed anew" if review.signatures[-1].reopened else "counted again after its signature, not signed"
    if review.open:
        return f"in review, {plural(review.open, 'flagged cell')} to decide, {unsigned}"
    if to_settle := sum(line.open for line in review.agreement):
        return f"in review, {plural(to_settle, 'disagreement')} to settle, {unsigned}"
    return f"reviewed, {unsigned}"


def caveats(report: PatientReport) -> list[str]:
    """Return what a reader must know before using the verdict, one sentence each, the most serious first."""
    result, criteria = report.result, report.criteria
    found = []
    if report.review is not None and report.review.problems:
        found.append(f"The database was changed outside cacapp: {report.review.problems[0]}. See “Review and signature”.")
    if result.frames_failed:
        done = result.frames - result.frames_failed
        found.append(
            f"{integer(result.frames_failed)} of {plural(result.frames, 'frame')} failed; the numbers rest on the other {integer(done)}, "
            "but the blood volume is that of the whole slides, so the rate may be too low."
        )
    bad = [slide for slide in report.quality if slide.verdict == "fail"]
    found += [f"Slide {slide.slide} failed quality control: {slide.problems[0]}. See “Slide quality”." for slide in bad]
    if result.blood_volume_ul is None:
        missing = [slide.barcode for slide in report.slides if slide.blood_volume_ul is None]
        found.append(f"Blood volume unknown{' for slide ' + ', '.join(missing) if missing else ''}: no CACs per 100 µL can be given.")
    if result.evaluable < criteria.min_evaluable_cells and report.verdict != criteria.verdicts.insufficient:
        found.append(
            f"{plural(result.evaluable, 'evaluable cell')}, fewer than the {integer(criteria.min_evaluable_cells)} the assay asks for."
        )
    if result.cacs_balanced_polyploid:
        same = report.verdict == report.verdict_without_polyploid
        outcome = "the verdict stays the same" if same else f"the verdict would be “{report.verdict_without_polyploid}”"
        found.append(
            f"{integer(result.cacs_balanced_polyploid)} of {plural(result.cacs, 'CAC')} "
            f"{'is' if result.cacs_balanced_polyploid == 1 else 'are'} balanced polyploid (3‑3‑3‑3, 4‑4‑4‑4), as dividing normal cells "
            f"may be. Without: {plural(result.cacs_without_polyploid, 'CAC')}; {outcome}."
        )
    low, high = result.cacs_per_100ul_low, result.cacs_per_100ul_high
    if (
        low is not None
        and high is not None
        and criteria.threshold_per_100ul is not None
        and low < criteria.threshold_per_100ul <= high
        and report.verdict != criteria.verdicts.insufficient
    ):
        found.append(
            f"The interval includes the threshold of {number(criteria.threshold_per_100ul)}: chance alone could put it on either side."
        )
    if result.needs_review:
        waits = "waits" if result.needs_review == 1 else "wait"
        whose = "all calls on this page are the software's" if report.review is None else "their calls are the software's"
        found.append(f"{plural(result.needs_review, 'cell')} {waits} for review by a person; {whose}.")
    if report.review is not None and report.review.open > result.needs_review:
        found.append(f"{plural(report.review.open, 'flagged cell')} not decided by a person yet: the result is not final.")
    return found


def budget_sentences(budget: ErrorBudget | None, left_out: int) -> list[str]:
    """Return how many false CACs to expect and how probable the observed count is under them, or that it is unknown."""
    others = ""
    if left_out:
        others = f" Left out: {plural(left_out, 'control slide')}, counted with another assay or other algorithms, or not yet."
    if budget is None:
        return [
            "The false-CAC rate is unknown: no slide of a healthy donor was counted in the same way (cacapp control add registers them), "
            f"so the number of these CACs that are errors is unknown.{others}"
        ]
    pool, share = budget.pool, number(100 * budget.confidence, 1)
    low, high = (number(10_000 * r) for r in (budget.rate_low, budget.rate_high))
    rate = (
        f"Controls: {plural(pool.cacs, 'CAC')} among {plural(pool.evaluable, 'evaluable cell')} on {plural(pool.slides, 'slide')} of "
        f"{plural(pool.donors, 'healthy donor')}, a false-CAC rate of {number(10_000 * budget.rate)} per 10,000 cells "
        f"({share} % exact interval {low}–{high}).{others}"
    )
    expected = (
        f"On this patient's {plural(budget.cells, 'evaluable cell')}, {number(budget.expected)} false CACs are to be expected, "
        f"up to {number(budget.expected_high)} by the {share} % interval; {integer(budget.observed)} "
        f"{'was' if budget.observed == 1 else 'were'} called."
    )
    if not budget.observed:
        return [rate, expected]
    at_rate = f"{probability(budget.probability)} at the controls' rate, " if pool.cacs else ""
    chance = (
        f"Errors alone give {integer(budget.observed)} or more with probability {at_rate}{probability(budget.probability_high)} "
        f"at the upper end of its interval; {probability(budget.probability_exact)} by an exact test of the patient against the controls."
    )
    return [rate, expected, chance]


def probability(p: float) -> str:
    """Two significant digits; "below 0.0001" for less."""
    return "below 0.0001" if p < 0.0001 else f"{p:.2g}"
