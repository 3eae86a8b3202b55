"""Frames of ellipses and dots with exact truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from hypothesis import settings

from cacapp.simulation import SlideModel, simulate_frame
from cacapp.types import Array, Instance, TrainingSample, label_image

# no deadline: tests share their machine; the same examples each time: a tolerance is no lottery
settings.register_profile("cacapp", deadline=None, derandomize=True)
settings.load_profile("cacapp")


@dataclass(frozen=True)
class Nucleus:
    """An ellipse: centre, half axes and angle in px and rad, brightness in grey values above the background."""

    y: float
    x: float
    long: float = 20.0
    short: float = 20.0
    angle: float = 0.0
    light: float = 2000.0

    def inside(self, shape: tuple[int, int]) -> Array:
        rows, cols = np.mgrid[: shape[0], : shape[1]]
        dy, dx = rows - self.y, cols - self.x
        u, v = dx * np.cos(self.angle) + dy * np.sin(self.angle), dy * np.cos(self.angle) - dx * np.sin(self.angle)
        return (u / self.long) ** 2 + (v / self.short) ** 2 <= 1


@dataclass(frozen=True)
class Scene:
    """A DAPI plane and the mask of each of its nuclei."""

    dapi: Array
    masks: list[Array]


def _scene(
    nuclei: Sequence[Nucleus],
    shape: tuple[int, int] = (300, 400),
    background: float = 200.0,
    tilt: float = 0.0,
    gain: float = 2.0,
    blur_px: float = 1.0,
    seed: int = 0,
    dtype: type = np.uint16,
) -> Scene:
    """Blurred ellipses on a background, light falling by ``tilt`` from left to right, Poisson noise of ``gain`` (0: none)."""
    light = np.full(shape, background)
    masks = [n.inside(shape) for n in nuclei]
    for nucleus, mask in zip(nuclei, masks, strict=True):
        light = np.maximum(light, np.where(mask, background + nucleus.light, 0))
    light = cv2.GaussianBlur(light, (0, 0), blur_px) * (1 - tilt * np.linspace(0, 1, shape[1]))
    if gain:
        light = np.random.default_rng(seed).poisson(light / gain) * gain
    return Scene(np.clip(np.rint(light), 0, np.iinfo(dtype).max).astype(dtype), masks)


def _overlaps(scene: Scene, found: Sequence[Instance]) -> list[float]:
    """For each true nucleus the best IoU of any instance."""
    shape = scene.dapi.shape
    painted = [label_image([i], shape[0], shape[1]) > 0 for i in found]
    return [max(((p & m).sum() / (p | m).sum() for p in painted), default=0.0) for m in scene.masks]


@pytest.fixture(scope="session")
def nucleus() -> type[Nucleus]:
    return Nucleus


@pytest.fixture(scope="session")
def scene() -> Callable[..., Scene]:
    return _scene


@pytest.fixture(scope="session")
def overlaps() -> Callable[[Scene, Sequence[Instance]], list[float]]:
    return _overlaps


@pytest.fixture(scope="session")
def simulated_samples() -> list[TrainingSample]:
    """Three simulated frames with their true labels, to learn from."""
    frames = [simulate_frame(SlideModel(), np.random.default_rng(seed), 420, 440, 16) for seed in range(3)]
    return [TrainingSample(frame.planes[0], frame.labels.astype(np.int32), None) for frame in frames]
