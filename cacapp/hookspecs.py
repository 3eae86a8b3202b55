"""The hooks that a plugin may implement. All of them collect the answers of every plugin; none replaces another.

Each returns classes, not instances: the host builds them with the user's parameters.
"""

import pluggy

from cacapp.api import InstanceFilter, Prompter, Reader, Segmenter, SignalDetector

PROJECT = "cacapp"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def cacapp_prompters() -> list[type[Prompter]]:
    """Prompt algorithms: DAPI in, coarse regions and prompts out."""
    raise NotImplementedError


@hookspec
def cacapp_segmenters() -> list[type[Segmenter]]:
    """Segmenters: DAPI and prompts in, one instance a nucleus out."""
    raise NotImplementedError


@hookspec
def cacapp_filters() -> list[type[InstanceFilter]]:
    """Instance filters: shape features in, a reason to reject (or None) for each instance out."""
    raise NotImplementedError


@hookspec
def cacapp_signal_detectors() -> list[type[SignalDetector]]:
    """Signal detectors: a probe channel and the nuclei in, dots with SNR out."""
    raise NotImplementedError


@hookspec
def cacapp_readers() -> list[type[Reader]]:
    """Readers of file formats: a file or folder in, its images out."""
    raise NotImplementedError
