"""The plugin host: discover plugins, refuse broken ones by name, build algorithms with a user's parameters, check their results."""

from cacapp.host import guard_reader
from cacapp.host.discover import Host, reader_of
from cacapp.host.guard import detect, judge, prompt, segment
from cacapp.host.parameters import Parameter, assign, parameters
from cacapp.host.registered import KINDS, Problem, Registered, same_name
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
    "guard_reader",
    "judge",
    "parameters",
    "prompt",
    "read_settings",
    "reader_of",
    "same_name",
    "segment",
]
