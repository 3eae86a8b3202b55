"""The doubts about a call, in the order in which they are asked."""

from __future__ import annotations

from cacapp.fish.doubt.ambiguous import ambiguous_signals
from cacapp.fish.doubt.margin import small_margin
from cacapp.fish.doubt.probable import undecided
from cacapp.fish.doubt.two_in_one import part_of_a_nucleus, two_nuclei
from cacapp.fish.evidence import Doubt

DOUBTS: tuple[Doubt, ...] = (ambiguous_signals, two_nuclei, part_of_a_nucleus, undecided, small_margin)
"""The first that applies to a cell gives the reason."""
