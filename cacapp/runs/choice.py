"""The choice of an algorithm with all its parameters: stored, part of the fingerprint, and sent to workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cacapp.api import Algorithm
from cacapp.exceptions import CacappError
from cacapp.host import Host

StoredChoices = Sequence[Mapping[str, Any]]
"""Choices as an earlier run stored them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An algorithm of a plan, with the distribution that has it and the value of every parameter."""

    kind: str
    name: str
    distribution: str
    version: str
    params: Mapping[str, Any]
    weights_sha256: str | None

    def record(self) -> dict[str, Any]:
        """Return the choice as JSON values."""
        return {
            "kind": self.kind,
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "params": dict(self.params),
            "weights_sha256": self.weights_sha256,
        }


def build_algorithm(host: Host, kind: str, name: str, params: Mapping[str, Any], recorded: StoredChoices = ()) -> tuple[Choice, Algorithm]:
    """Build an algorithm; return it with its choice, in which all defaults are written out.

    Args:
        recorded: choices of an earlier run: one of this kind and name decides all parameters, whatever the defaults are now.

    Raises:
        UsageError: there is no such algorithm or parameter.
        CacappError: the recorded algorithm is not the one installed.
    """
    found = host.find(kind, name)
    before = next((r for r in recorded if (r["kind"], r["name"]) == (kind, name)), None)
    built = host.build(kind, name, params if before is None else before["params"])
    choice = Choice(kind, name, found.distribution, found.version, built.model_dump(mode="json"), built.weights_sha256())
    if before is not None and choice.record() != dict(before):
        here, there = (f"{r['distribution']} {r['version']}" for r in (choice.record(), before))
        what = f"was {there}, here is {here}" if here != there else "had other weights or parameters than now"
        raise CacappError(f"{kind} {name!r} {what}: the run cannot be resumed as it began; install that version, or give the command again")
    return choice, built
