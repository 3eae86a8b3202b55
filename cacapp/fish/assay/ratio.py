"""Ratio assays such as HER2/CEP17: signals of two probes summed over the cells, compared with bands of ratio and copies per cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from pydantic import Field

from cacapp.fish.assay.rules import Name, Strict, duplicate

VerdictKey = Literal["increased", "not_increased", "equivocal"]


class Outcome(Strict):
    """A band of the ratio and of the numerator's mean copies per cell; limits left out do not matter."""

    name: Name
    ratio_at_least: float | None = Field(None, gt=0)
    ratio_below: float | None = Field(None, gt=0)
    copies_at_least: float | None = Field(None, gt=0, description="mean signals of the numerator per cell")
    copies_below: float | None = Field(None, gt=0, description="mean signals of the numerator per cell")
    verdict: VerdictKey

    def holds(self, ratio: float, copies: float) -> bool:
        """Tell whether a ratio and mean copies lie in the band; lower limits belong to it, upper ones do not."""
        limits = ((ratio, self.ratio_at_least, self.ratio_below), (copies, self.copies_at_least, self.copies_below))
        return all((low is None or value >= low) and (high is None or value < high) for value, low, high in limits)


class Ratio(Strict):
    """The patient's criterion of a ratio assay: the first outcome that holds gives the verdict."""

    numerator: str = Field(description="channel of the probe of interest")
    denominator: str = Field(description="channel of the reference probe")
    outcomes: tuple[Outcome, ...] = Field(min_length=1)

    def outcome(self, ratio: float, copies: float) -> Outcome | None:
        """Return the first outcome that holds, None where none does."""
        return next((o for o in self.outcomes if o.holds(ratio, copies)), None)

    def problem(self, channels: Sequence[str]) -> tuple[str, str] | None:
        """Return (key, what is wrong with it) for an assay of these channels, None for a consistent criterion."""
        for key, channel in (("numerator", self.numerator), ("denominator", self.denominator)):
            if channel not in channels:
                return f"ratio.{key}", f"no probe of this assay has channel {channel!r}; it has {', '.join(channels)}"
        if self.numerator == self.denominator:
            return "ratio.denominator", f"{self.denominator!r} over itself is always 1"
        if (name := duplicate([o.name for o in self.outcomes])) is not None:
            return "ratio.outcomes", f"outcome {name!r} is defined twice"
        for i, o in enumerate(self.outcomes, 1):
            for what, low, high in (("ratio", o.ratio_at_least, o.ratio_below), ("copies", o.copies_at_least, o.copies_below)):
                if low is not None and high is not None and low >= high:
                    return f"ratio.outcomes #{i} {what}_at_least", f"{low:g} is not below {what}_below = {high:g}"
        return self._gap()

    def _gap(self) -> tuple[str, str] | None:
        """Return the first ratio and copies that no outcome covers, or the first outcome that can never match after the earlier ones."""
        ratios = _between(v for o in self.outcomes for v in (o.ratio_at_least, o.ratio_below))
        copies = _between(v for o in self.outcomes for v in (o.copies_at_least, o.copies_below))
        reached = set()
        for ratio, mean in product(ratios, copies):
            found = self.outcome(ratio, mean)
            if found is None:
                return "ratio.outcomes", f"none covers a ratio of {ratio:g} with {mean:g} copies per cell"
            reached.add(found.name)
        for i, o in enumerate(self.outcomes, 1):
            if o.name not in reached:
                return f"ratio.outcomes #{i}", f"outcome {o.name!r} can never match: those before it always do"
        return None


@dataclass(frozen=True, slots=True)
class RatioResult:
    """The result of a ratio assay for a patient.

    Attributes:
        cells: evaluable cells the signals were summed over.
        signals: signals of numerator and denominator by channel.
        ratio: numerator's over denominator's signals; None without any of the denominator's.
        copies: mean signals of the numerator per cell; None without cells.
        reference_copies: the same of the denominator.
        outcome, verdict: name and verdict key of the outcome that holds; None without a ratio.
    """

    cells: int
    numerator: str
    denominator: str
    signals: dict[str, int]
    ratio: float | None
    copies: float | None
    reference_copies: float | None
    outcome: str | None
    verdict: VerdictKey | None

    def record(self) -> dict[str, Any]:
        """Return the result as the database keeps it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def ratio_result(criterion: Ratio, signals: Mapping[str, int], cells: int) -> RatioResult:
    """Return the ratio of the total signals of two probes over all cells (not the mean of the cells' ratios), and the outcome.

    ratio = Σ numerator / Σ denominator, copies = Σ numerator / cells, after the ASCO/CAP way of reporting dual-probe FISH
    (Wolff et al. 2018).

    >>> bands = (Outcome(name="high", ratio_at_least=2.0, verdict="increased"), Outcome(name="low", verdict="not_increased"))
    >>> ratio_result(Ratio(numerator="red", denominator="green", outcomes=bands), {"red": 90, "green": 40}, 20).ratio
    2.25
    """
    upper, lower = signals.get(criterion.numerator, 0), signals.get(criterion.denominator, 0)
    ratio = upper / lower if lower else None
    copies = upper / cells if cells else None
    found = None if ratio is None or copies is None else criterion.outcome(ratio, copies)
    return RatioResult(
        cells=cells,
        numerator=criterion.numerator,
        denominator=criterion.denominator,
        signals={criterion.numerator: upper, criterion.denominator: lower},
        ratio=ratio,
        copies=copies,
        reference_copies=lower / cells if cells else None,
        outcome=None if found is None else found.name,
        verdict=None if found is None else found.verdict,
    )


def _between(limits: Iterable[float | None]) -> list[float]:
    """Return a value below all limits, each limit, one between each two, and one above the last: every band has one."""
    sorted_limits = sorted({v for v in limits if v is not None})
    points = [0.0]
    for here, after in zip(sorted_limits, [*sorted_limits[1:], None], strict=True):
        points += [here, here * 2 if after is None else (here + after) / 2]
    return points
