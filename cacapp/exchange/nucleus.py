"""Nucleus with its results, for exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cacapp.types import Instance


@dataclass(frozen=True, slots=True)
class Nucleus:
    """Nucleus with its class and counts.

    Attributes:
        cell_id: its number in the record.
        label: its number in the frame, from 1.
        class_: None where it is not called.
        counts: copies by probe channel; empty where nothing is counted.
    """

    cell_id: int
    label: int
    instance: Instance
    area_px: int
    class_: str | None = None
    is_cac: bool = False
    evaluable: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def call(self) -> str:
        """Class, "not called" or "not evaluable"."""
        return (self.class_ or "not called") if self.evaluable else "not evaluable"
