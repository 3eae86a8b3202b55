"""The algorithms that another algorithm is made of: each call goes through the guard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cacapp.api import PARTS, Algorithm, InstanceFilter, Part, Prompter, Segmenter
from cacapp.host import guard
from cacapp.host.origin import origin_of


def attach_parts(whole: Algorithm, parts: Sequence[Algorithm]) -> None:
    """Store the guarded calls of built parts on the algorithm, beside its origin: they are sent with it to worker processes."""
    whole.__dict__[PARTS] = tuple(Part(type(p).name, origin_of(p), p.weights_sha256(), partial(_call_of(p), p)) for p in parts)


def _call_of(part: Algorithm) -> Callable[..., Any]:
    if isinstance(part, Segmenter):
        return guard.segment
    if isinstance(part, Prompter):
        return guard.prompt
    return guard.judge if isinstance(part, InstanceFilter) else guard.detect
