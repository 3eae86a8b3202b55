"""The plugin host: discover plugins, refuse what is broken by name, build algorithms with a user's parameters, guard their results."""

from cacapp.host.discover import KINDS, Host, Problem, Registered, same_name
from cacapp.host.guard import detect, judge, prompt, segment
from cacapp.host.parameters import Parameter, assign, parameters
from cacapp.host.settings import PluginSettings, read_settings

__all__ = [
    "KINDS",
    "Host",
    "Parameter",
    "PluginSettings",
    "Problem",
    "Registered",
    "assign",
    "detect",
    "judge",
    "parameters",
    "prompt",
    "read_settings",
    "same_name",
    "segment",
]
