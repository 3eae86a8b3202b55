"""cacapp: slides in, per-patient CAC counts out. Plugin authors and notebooks (``cacapp.run_slide``, ``cacapp.open``) import from here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cacapp.api import Algorithm, Field, InstanceFilter, Prompter, Reader, Segmenter, SignalDetector, TrainableSegmenter
    from cacapp.hookspecs import hookimpl
    from cacapp.notebook import SlideResult, run_slide
    from cacapp.record import Record, open
    from cacapp.scene import Scene
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
    "Reader",
    "Record",
    "Scene",
    "Segmenter",
    "Shapes",
    "SignalDetector",
    "Signals",
    "SlideResult",
    "TrainableSegmenter",
    "TrainingSample",
    "__version__",
    "hookimpl",
    "open",
    "run_slide",
]

_MODULES = {
    "cacapp.api": ("Algorithm", "Field", "InstanceFilter", "Prompter", "Reader", "Segmenter", "SignalDetector", "TrainableSegmenter"),
    "cacapp.hookspecs": ("hookimpl",),
    "cacapp.notebook": ("SlideResult", "run_slide"),
    "cacapp.record": ("Record", "open"),
    "cacapp.scene": ("Scene",),
    "cacapp.types": ("Array", "Frame", "Instance", "Prompts", "Shapes", "Signals", "TrainingSample"),
}


def __getattr__(name: str) -> object:
    # Load numpy and pydantic only when a name is asked for: `cacapp --help` needs neither, and they take half of its time.
    source = next((module for module, names in _MODULES.items() if name in names), None)
    if source is None:
        raise AttributeError(f"module 'cacapp' has no attribute {name!r}")
    value: object = getattr(import_module(source), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
