"""Kinds of algorithms, registered algorithms, and plugins that cannot be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cacapp.api import Algorithm, InstanceFilter, Prompter, Reader, Segmenter, SignalDetector


class Kind(NamedTuple):
    """A kind of algorithm: the hook that collects it and the class that its algorithms subclass."""

    hook: str
    base: type[Algorithm]


KINDS: Mapping[str, Kind] = {
    "prompter": Kind("cacapp_prompters", Prompter),
    "segmenter": Kind("cacapp_segmenters", Segmenter),
    "filter": Kind("cacapp_filters", InstanceFilter),
    "signal-detector": Kind("cacapp_signal_detectors", SignalDetector),
    "reader": Kind("cacapp_readers", Reader),
}


@dataclass(frozen=True, slots=True)
class Registered:
    """An algorithm class and its origin."""

    kind: str
    name: str
    cls: type[Algorithm]
    plugin: str
    distribution: str
    version: str

    @property
    def origin(self) -> str:
        return f"plugin {self.plugin!r} of {self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Problem:
    """The reason why a plugin, or one algorithm of it, cannot be used: one line that names it."""

    plugin: str
    distribution: str
    message: str
    kind: str | None = None
    name: str | None = None

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} of {self.distribution}: {self.message}"


class Source(NamedTuple):
    """The origin of a plugin: its own name, its distribution and version."""

    plugin: str
    distribution: str
    version: str

    def problem(self, message: str, kind: str | None = None, name: str | None = None) -> Problem:
        return Problem(self.plugin, f"{self.distribution} {self.version}", message, kind, name)


def same_name(one: str, other: str) -> bool:
    """Return whether packaging tools take two names of distributions or plugins for the same."""
    return normalized(one) == normalized(other)


def normalized(name: str) -> str:
    """Return a name as packaging tools compare it (PEP 503): lower case, runs of ``-_.`` as one dash."""
    return re.sub(r"[-_.]+", "-", name).lower()
