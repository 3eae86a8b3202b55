"""cacapp: slides in, per-patient CAC counts out. This is what a plugin author imports."""

from cacapp.api import Algorithm, Field, InstanceFilter, Prompter, Segmenter, SignalDetector
from cacapp.hookspecs import hookimpl
from cacapp.types import Array, Frame, Instance, Prompts, Shapes, Signals

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
    "Segmenter",
    "Shapes",
    "SignalDetector",
    "Signals",
    "__version__",
    "hookimpl",
]
