"""Signal detector ``example-signal-detector``: the contract of all signal detectors, and tests of this one."""

from __future__ import annotations

from cacapp.testing import SignalDetectorContract
from cacapp.testing.scenes import dots

from cacapp_example.signal_detector import ExampleSignalDetector


class TestExampleSignalDetector(SignalDetectorContract):
    algorithm = ExampleSignalDetector


def test_a_dot_outside_nuclei_is_not_detected() -> None:
    scene = dots("a dot inside, a dot outside", (160, 200), [(80, 60)], [(80, 60), (80, 150)])
    found = ExampleSignalDetector().detect(scene.image, scene.nuclei, scene.pixel_size_um)
    assert [tuple(map(round, yx)) for yx in found.yx.tolist()] == [(80, 60)]
