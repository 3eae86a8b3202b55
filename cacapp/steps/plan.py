"""Which algorithms a run uses, with all their parameters: what is stored, fingerprinted and sent to workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cacapp.api import Algorithm
from cacapp.host import Host


@dataclass(frozen=True, slots=True)
class Choice:
    """One algorithm of a plan, as the host found it and with every parameter spelled out."""

    kind: str
    name: str
    distribution: str
    version: str
    params: Mapping[str, Any]
    weights_sha256: str | None

    def record(self) -> dict[str, Any]:
        """The row's JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "params": dict(self.params),
            "weights_sha256": self.weights_sha256,
        }


def choose(host: Host, kind: str, name: str, params: Mapping[str, Any]) -> tuple[Choice, Algorithm]:
    """The algorithm built, and its record with defaults filled in."""
    found = host.find(kind, name)
    built = host.build(kind, name, params)
    return Choice(kind, name, found.distribution, found.version, built.model_dump(mode="json"), built.weights_sha256()), built
