"""Small images whose pixels say which channel they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from cacapp.frames import BadFile, discover
from cacapp.types import CHANNELS, Array, FrameSource

HEIGHT, WIDTH = 24, 40
LEVEL = {name: 1000 * (i + 1) for i, name in enumerate(CHANNELS)}


def make_plane(name: str, dtype: str = "uint16", offset: int = 0) -> Array:
    """A ramp on a level of its own for each channel."""
    level = LEVEL.get(name, 9000) // (1 if dtype == "uint16" else 50)
    ramp = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 97
    return (level + ramp + offset).astype(dtype)


def make_stack(names: Sequence[str] = CHANNELS, dtype: str = "uint16") -> Array:
    return np.stack([make_plane(n, dtype) for n in names])


def write_ome(path: Path, stack: Array, names: Sequence[str] | None = CHANNELS, axes: str = "CYX", **kwargs: Any) -> Path:
    meta: dict[str, Any] = {"axes": axes, **kwargs.pop("metadata", {})}
    if names is not None:
        meta["Channel"] = {"Name": list(names)}
    tifffile.imwrite(path, stack, metadata=meta, ome=True, photometric=kwargs.pop("photometric", "minisblack"), **kwargs)
    return path


@pytest.fixture
def plane() -> Callable[..., Array]:
    return make_plane


@pytest.fixture
def stack() -> Callable[..., Array]:
    return make_stack


@pytest.fixture
def ome() -> Callable[..., Path]:
    return write_ome


@pytest.fixture
def one_frame() -> Callable[..., FrameSource]:
    """discover() where it must give exactly one frame."""

    def run(*paths: Path, **kwargs: Any) -> FrameSource:
        found = list(discover(paths, **kwargs))
        assert len(found) == 1, found
        assert isinstance(found[0], FrameSource), found
        return found[0]

    return run


@pytest.fixture
def refusal(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """discover() where it must give exactly one refusal, in one line, with nothing from libraries on the console."""

    def run(*paths: Path, **kwargs: Any) -> str:
        capfd.readouterr()
        found = list(discover(paths, **kwargs))
        assert len(found) == 1, found
        assert isinstance(found[0], BadFile), found
        assert "\n" not in found[0].error
        assert "Traceback" not in found[0].error
        streams = capfd.readouterr()
        assert (streams.out, streams.err) == ("", "")
        return found[0].error

    return run
