"""cacapp: slides in, per-patient CAC counts out. This is what a plugin author imports, and a notebook (``cacapp.open``)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cacapp.api import Algorithm, Field, InstanceFilter, Prompter, Segmenter, SignalDetector, TrainableSegmenter
    from cacapp.hookspecs import hookimpl
    from cacapp.record import Record, open
    from cacapp.types import Array, Frame, Instance, Prompts, Shapes, Signals, TrainingSample

__version__ = "0.1.0"

__all__ = [
    "Algorithm",
    "Array",
    "Field",
    "Frame",
    "Instance",
    "InstanceFilter",
    "Prompter",
    "Prompts",
    "Record",
    "Segmenter",
    "Shapes",
    "SignalDetector",
    "Signals",
    "TrainableSegmenter",
    "TrainingSample",
    "__version__",
    "hookimpl",
    "open",
]

_HOMES = {
    "cacapp.api": ("Algorithm", "Field", "InstanceFilter", "Prompter", "Segmenter", "SignalDetector", "TrainableSegmenter"),
    "cacapp.hookspecs": ("hookimpl",),
    "cacapp.record": ("Record", "open"),
    "cacapp.types": ("Array", "Frame", "Instance", "Prompts", "Shapes", "Signals", "TrainingSample"),
}


def __getattr__(name: str) -> object:
    # numpy and pydantic are loaded when a name is asked for: `cacapp --help` needs neither, and half its time would be theirs.
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'cacapp' has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
