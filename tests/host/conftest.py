"""Plugins as real distributions on the path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# no deadline: tests share their machine; the same examples each time: a tolerance is no lottery
settings.register_profile("cacapp", deadline=None, derandomize=True)
settings.load_profile("cacapp")

MODULE = '''
from typing import ClassVar
from cacapp import Field, Prompter, Prompts, hookimpl

class {cls}(Prompter):
    """A prompter without prompts."""
    name: ClassVar[str] = "{name}"
    api_version: ClassVar[int] = 1
    wait_s: float = Field(1.0, ge=0, le=10, description="how long it does nothing, s")
    def prompt(self, dapi, pixel_size_um):
        return Prompts.empty()

@hookimpl
def cacapp_prompters():
    return [{cls}]
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a real distribution on the path: ``install("acme-fish", plugin="acme", name="acme-seeds")`` or with ``source``."""

    def installed(distribution: str, plugin: str, name: str = "idle", source: str | None = None, version: str = "1.2") -> None:
        site = tmp_path / distribution
        module = distribution.replace("-", "_") + "_" + tmp_path.name.replace("-", "_")
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[cacapp]\n{plugin} = {module}\n")
        (site / f"{module}.py").write_text(MODULE.format(cls="Idle", name=name) if source is None else source)
        monkeypatch.syspath_prepend(str(site))

    return installed
