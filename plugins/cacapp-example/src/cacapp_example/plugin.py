"""Hooks of cacapp-example, which cacapp finds through the entry point. An algorithm is imported when it is requested."""

from __future__ import annotations

from cacapp import InstanceFilter, Prompter, Reader, Segmenter, SignalDetector, hookimpl


@hookimpl
def cacapp_prompters() -> list[type[Prompter]]:
    from cacapp_example.prompter import ExamplePrompter

    return [ExamplePrompter]


@hookimpl
def cacapp_segmenters() -> list[type[Segmenter]]:
    from cacapp_example.segmenter import ExampleSegmenter

    return [ExampleSegmenter]


@hookimpl
def cacapp_filters() -> list[type[InstanceFilter]]:
    from cacapp_example.filter import ExampleFilter

    return [ExampleFilter]


@hookimpl
def cacapp_signal_detectors() -> list[type[SignalDetector]]:
    from cacapp_example.signal_detector import ExampleSignalDetector

    return [ExampleSignalDetector]


@hookimpl
def cacapp_readers() -> list[type[Reader]]:
    from cacapp_example.reader import ExampleReader

    return [ExampleReader]
