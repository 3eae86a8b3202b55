"""Hands an algorithm the algorithms it is made of, guarded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cacapp.api import PARTS, Algorithm, InstanceFilter, Part, Prompter, Segmenter
from cacapp.host import guard
from cacapp.host.origin import origin_of


def hand_over(whole: Algorithm, parts: Sequence[Algorithm]) -> None:
    """Writes the calls of built parts on the algorithm, where its origin is kept: they travel with it to worker processes."""
    whole.__dict__[PARTS] = tuple(Part(type(p).name, origin_of(p), p.weights_sha256(), partial(_call_of(p), p)) for p in parts)


def _call_of(part: Algorithm) -> Callable[..., Any]:
    if isinstance(part, Segmenter):
        return guard.segment
    if isinstance(part, Prompter):
        return guard.prompt
    return guard.judge if isinstance(part, InstanceFilter) else guard.detect
